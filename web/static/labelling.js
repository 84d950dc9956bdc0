// Given a picture that is looked at, which of some labels fits it best?

import { $, action, bar, make, toast } from "./dom.js";
import { ask } from "./api.js";
import { chooseSet, chosenSet, setPath, splitWords } from "./labelsets.js";
import { percent } from "./words.js";

export class Labelling {
  /** `on` has about(path, fields, list, rows), sent() → the fields of the picture that is looked
   *  at, openSets(), keep(words). */
  constructor(on) {
    this.on = on;
    this.sets = [];
    $("v-label").addEventListener("toggle", () => { if ($("v-label").open) this.load(); });
    $("v-set").onchange = () => {
      chooseSet($("v-set").value);
      this.arrange();
      this.run();
    };
    $("v-form").onsubmit = (event) => {
      event.preventDefault();
      this.run(true);
    };
    $("v-sets").onclick = () => on.openSets();
    $("v-keep").onclick = () => on.keep(splitWords($("v-words").value));
    $("v-teach").onsubmit = (event) => {
      event.preventDefault();
      this.teach();
    };
  }

  get isOpen() {
    return $("v-label").open && !$("v-label").hidden;
  }

  /** Another picture is looked at. */
  follow() {
    $("v-labels").replaceChildren();
    $("v-teach-label").value = "";
    if (this.isOpen) this.run();
  }

  /** Which sets there are may have changed. */
  async load() {
    if (!this.isOpen) return;
    try {
      this.sets = (await ask("/v1/label-sets")).label_sets;
    } catch (error) {
      $("v-labels").replaceChildren(make("li", { className: "wrong" }, error.message));
      return;
    }
    const chosen = chosenSet();
    $("v-set").replaceChildren(make("option", { value: "" }, "words that are typed here"),
      ...this.sets.map(({ name }) => make("option", { value: name }, name)));
    $("v-set").value = this.sets.some(({ name }) => name === chosen) ? chosen : "";
    this.arrange();
    this.run();
  }

  arrange() {
    const set = this.sets.find(({ name }) => name === $("v-set").value);
    $("v-form").hidden = Boolean(set);
    $("v-teach").hidden = !set;
    $("v-teach-labels").replaceChildren(...(set?.labels ?? []).map(({ label }) => make("option", { value: label })));
  }

  /** Labels it, if it is said by what; `asked`: somebody waits for that. */
  run(asked = false) {
    const set = $("v-set").value;
    const labels = splitWords($("v-words").value);
    $("v-keep").hidden = Boolean(set) || labels.length < 2;
    if (!set && labels.length < 2) {
      $("v-labels").replaceChildren(...(asked ? [make("li", { className: "wrong" },
        "Give at least two different words, with commas between: the picture is judged by which fits better.")] : []));
      return;
    }
    this.on.about("/v1/label", set ? { set } : { labels }, $("v-labels"), (image) => {
      const rows = image.labels.slice(0, 12).map((one) => bar(one.label, one.probability, percent(one.probability), {
        title: `${one.label}: similarity (cosine) ${one.score.toFixed(3)}`,
      }));
      if (image.labels.length > rows.length) {
        rows.push(make("li", { className: "soft" }, `and ${image.labels.length - rows.length} that fit less`));
      }
      for (const group of image.groups.slice(0, 5)) {
        rows.push(bar(`${group.label} (any of them)`, group.probability, percent(group.probability)));
      }
      if (image.none_of_these !== null) {
        rows.push(bar("none of these", image.none_of_these, percent(image.none_of_these), { muted: true }));
      }
      return rows;
    });
  }

  /** This picture becomes an example of a label of the set. */
  async teach() {
    const label = $("v-teach-label").value.trim();
    const sent = this.on.sent();
    if (!label || !sent) return;
    const set = $("v-set").value;
    try {
      const made = await ask(setPath(set), { method: "PUT", body: { entries: [{ label, ...sent }], add: true } });
      if (made.not_taken.length) throw new Error(made.not_taken[0].reason);
      toast(`An example of ${label} in ${set} now.`);
      $("v-teach-label").value = "";
      await this.load();
    } catch (error) {
      $("v-labels").replaceChildren(make("li", { className: "wrong" }, error.message), make("li", {}, action("Label it again", () => this.run(), { className: "quiet-button" })));
    }
  }
}
