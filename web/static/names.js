// Given what the store knows by name, how does one see and change it? A sheet with two
// lists: label sets to choose among, and identities that are known by examples.

import { $ } from "./dom.js";
import { ask } from "./api.js";
import { Identities } from "./identities.js";
import { LabelSets } from "./labelsets.js";
import { takeInto } from "./pictures.js";

export class Names {
  /** `on` has selected() → items, look(id), search(changes), changed(): a name has come or gone. */
  constructor(on) {
    this.dialog = $("names");
    const parts = {
      ...on,
      look: (id) => {
        this.dialog.close();
        on.look(id);
      },
      tell: (message) => this.tell(message),
      known: () => this.refresh().then(() => on.changed()),
    };
    this.labelSets = new LabelSets(parts);
    this.identities = new Identities(parts);
    $("n-tabs").onchange = (event) => this.show(event.target.value);
    // Wherever in the sheet a picture is dropped, it is meant for what is being made.
    takeInto(this.dialog, (files) => this.current.take(files));
  }

  get current() {
    return $("n-identities").hidden ? this.labelSets : this.identities;
  }

  show(tab) {
    for (const radio of document.querySelectorAll('input[name="names"]')) radio.checked = radio.value === tab;
    $("n-labels").hidden = tab !== "labels";
    $("n-identities").hidden = tab !== "identities";
    this.tell("");
  }

  tell(message) {
    $("n-wrong").textContent = message;
  }

  /** `tab`: which list; else the one that was open last. */
  open(tab = null) {
    if (tab) this.show(tab);
    if (!this.dialog.open) this.dialog.showModal();
    for (const one of [this.labelSets, this.identities]) one.opened();
    this.refresh();
  }

  /** Enrols these items under a name that is to be typed. */
  name(items) {
    this.open("identities");
    this.identities.begin(items);
  }

  /** A new label set of these words. */
  keep(words) {
    this.open("labels");
    this.labelSets.begin(words);
  }

  async refresh() {
    this.tell("");
    try {
      const [sets, identities] = await Promise.all([ask("/v1/label-sets"), ask("/v1/identities")]);
      this.labelSets.draw(sets.label_sets);
      this.identities.draw(identities.identities);
    } catch (error) {
      this.tell(error.message);
    }
  }
}
