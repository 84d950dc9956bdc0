// Given words and pictures, how does one make a list of labels to choose among? Each label
// is known by words, by example pictures, or by both.

import { $, action, count, icon, make, number, sure, toast } from "./dom.js";
import { ask } from "./api.js";
import { Examples, itemsAt, notTakenWords, outdated, shownExamples } from "./examples.js";

export const setPath = (name) => `/v1/label-sets/${encodeURIComponent(name)}`;

const CHOSEN = "ekphrasis-label-set";

/** The label set that pictures are labelled by in the viewer; "" for words that are typed there. */
export function chosenSet() {
  try {
    return localStorage.getItem(CHOSEN) ?? "";
  } catch {
    return "";
  }
}

export function chooseSet(name) {
  try {
    localStorage.setItem(CHOSEN, name);
  } catch { /* storage is off: it is chosen for as long as the viewer's list says so */ }
}

export const splitWords = (text) => [...new Set(text.split(/[,\n]/).map((word) => word.trim()).filter(Boolean))];

/** By what a label is known, in words. */
function knownBy({ label, words, examples }) {
  const by = [];
  if (words !== null) by.push(words === label ? "itself" : `“${words}”`);
  if (examples.length) by.push(count(examples.length, "picture", "pictures"));
  return `known by ${by.join(" and ")}`;
}

/** What a set did for the library, in words. */
function appliedWords({ pictures, waiting, changed }) {
  const looked = `It was asked of ${count(pictures, "picture", "pictures")} of the library`;
  if (changed) return `${looked}, and has changed since: label the library again.`;
  return waiting ? `${looked}; ${number(waiting)} more wait for it.` : `${looked}, and is asked of those that come.`;
}

let rows = 0;

/** A label that is being made. */
class Row {
  constructor(label, on) {
    rows += 1;
    const id = `n-row-${rows}`;
    this.wordless = make("input", { type: "checkbox", onchange: () => this.arrange() });
    this.tick = make("label", { className: "tick" }, this.wordless, "by its pictures only");
    this.label = make("input", { id: `${id}-label`, value: label, autocomplete: "off", maxLength: 200, placeholder: "Mittens" });
    this.label.setAttribute("list", "n-known-labels");
    this.words = make("input", { id: `${id}-words`, autocomplete: "off", maxLength: 1_000, placeholder: on.adding ? "as before, or the label itself" : "the label itself" });
    this.examples = new Examples({ selected: on.selected, changed: () => this.arrange() });
    const box = (input, words) => {
      const text = make("label", {}, words);
      text.htmlFor = input.id;
      return make("div", { className: "line" }, text, input);
    };
    this.drop = make("button", { type: "button", className: "round", title: "Take this label out", "aria-label": "Take this label out", onclick: () => on.drop(this) }, icon("close"));
    this.element = make("li", { className: "label-row" },
      box(this.label, "Label"), box(this.words, "Its words"),
      this.drop, this.examples.element,
      this.tick);
    // Several at once: each gets a row.
    this.label.addEventListener("change", () => {
      const [first = "", ...others] = splitWords(this.label.value);
      this.label.value = first;
      if (others.length) on.more(others, this);
    });
  }

  /** Pictures alone are enough, if there are some. */
  arrange() {
    this.tick.hidden = !this.examples || this.examples.isEmpty;
    if (this.tick.hidden) this.wordless.checked = false;
    this.words.disabled = this.wordless.checked;
  }

  get entry() {
    const words = this.words.value.trim();
    return {
      label: this.label.value.trim(), ...this.examples.fields,
      ...(this.wordless.checked ? { wordless: true } : words ? { words } : {}),
    };
  }
}

export class LabelSets {
  /** `on` as in names.js. */
  constructor(on) {
    this.on = on;
    this.rows = [];
    this.sets = [];
    /** What is known of sets that label the library. */
    this.applied = [];
    /** The set that labels are added to; "" for a new one. */
    this.adding = "";
    this.unfolded = new Set();
    $("n-new").onclick = () => this.begin([]);
    $("n-more").onclick = () => this.add("").label.focus();
    $("n-cancel").onclick = () => this.end();
    $("n-editor").onsubmit = (event) => {
      event.preventDefault();
      this.write();
    };
  }

  opened() {
    for (const row of this.rows) row.examples.refresh();
  }

  /** Pictures that were dropped beside everything: of the label that is being made. */
  take(files) {
    if ($("n-editor").hidden) this.begin([]);
    const row = this.rows.find((one) => one.element.contains(document.activeElement)) ?? this.rows.at(-1);
    row.examples.take(files);
  }

  /** Opens the form, for a new set or to add to one. */
  begin(words, adding = "") {
    this.adding = adding;
    for (const row of this.rows) row.examples.clear();
    this.rows = [];
    $("n-rows").replaceChildren();
    for (const word of words.length ? words : [""]) this.add(word);
    const known = this.sets.find(({ name }) => name === adding)?.labels ?? [];
    $("n-known-labels").replaceChildren(...known.map(({ label }) => make("option", { value: label })));
    $("n-editor-title").textContent = adding ? `Add to ${adding}` : "New label set";
    $("n-set-line").hidden = Boolean(adding);
    $("n-set-name").value = "";
    $("n-write").textContent = adding ? "Add" : "Create";
    $("n-editor").hidden = false;
    $("n-new").hidden = true;
    (adding ? this.rows[0].label : $("n-set-name")).focus();
    $("n-editor").scrollIntoView({ block: "nearest" });
  }

  end() {
    for (const row of this.rows) row.examples.clear();
    this.rows = [];
    $("n-rows").replaceChildren();
    $("n-editor").hidden = true;
    $("n-new").hidden = false;
    $("n-new").focus();
    this.on.tell("");
  }

  add(label, after = null) {
    const row = new Row(label, {
      selected: this.on.selected,
      more: (words, at) => words.reduceRight((_, word) => this.add(word, at), null),
      adding: Boolean(this.adding),
      drop: (one) => {
        const at = this.rows.indexOf(one);
        one.examples.clear();
        one.element.remove();
        this.rows.splice(at, 1);
        if (!this.rows.length) this.add("");
        this.rows[Math.min(at, this.rows.length - 1)].label.focus();
      },
    });
    if (after) after.element.after(row.element);
    else $("n-rows").append(row.element);
    this.rows.splice(after ? this.rows.indexOf(after) + 1 : this.rows.length, 0, row);
    return row;
  }

  async write() {
    const name = this.adding || $("n-set-name").value.trim();
    this.on.tell("");
    if (!name) {
      $("n-set-name").focus();
      return;
    }
    const filled = this.rows.filter((row) => row.label.value.trim() || !row.examples.isEmpty);
    const nameless = filled.find((row) => !row.label.value.trim());
    if (!filled.length || nameless) {
      this.on.tell("Each label needs a name.");
      (nameless ?? this.rows[0]).label.focus();
      return;
    }
    $("n-write").disabled = true;
    try {
      const made = await ask(setPath(name), {
        method: "PUT", body: { entries: filled.map((row) => row.entry), [this.adding ? "add" : "create"]: true } });
      const left = notTakenWords(made.not_taken);
      toast([`${made.name} has ${count(made.labels.length, "label", "labels")}.`, left].filter(Boolean).join(" "));
      this.unfolded.add(made.name);
      if (!this.adding) chooseSet(made.name);
      this.end();
      await this.on.known();
    } catch (error) {
      this.on.tell(error.message);
    }
    $("n-write").disabled = false;
  }

  async draw(sets) {
    const applied = sets.length ? (await ask("/v1/status")).applied_label_sets : [];
    // What did not change stays as it is, and keeps the focus.
    const drawn = JSON.stringify([sets, chosenSet(), applied]);
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    this.sets = sets;
    this.applied = applied;
    $("n-no-sets").hidden = sets.length > 0;
    const few = sets.flatMap(({ labels }) => labels.flatMap(({ examples }) => examples.slice(0, 12).map(({ source }) => source)));
    const items = await itemsAt(few);
    if (this.drawn !== drawn) return;
    $("n-sets").replaceChildren(...sets.map((set) => this.set(set, items)));
  }

  set({ name, labels, comparable }, items) {
    const used = chosenSet() === name;
    const use = action("Label by it", () => {
      chooseSet(name);
      toast(`“Label it” in the viewer chooses among ${name} now.`);
      for (const other of document.querySelectorAll("#n-sets .use")) other.setAttribute("aria-pressed", other === use);
      this.on.changed();
    }, { className: "quiet-button use", "aria-pressed": used, "aria-label": `Label by it: ${name}` });
    const gone = async (path, words) => {
      try {
        await ask(path, { method: "DELETE" });
        toast(words);
      } catch (error) {
        this.on.tell(error.message);
      }
      await this.on.known();
      ($("n-sets").querySelector("summary") ?? $("n-new")).focus();
    };
    const applied = this.applied.find((one) => one.set === name);
    const apply = action(applied ? "Label the library again" : "Label the library", async () => {
      apply.disabled = true;
      this.on.tell("");
      try {
        // By the rule that it was applied by, if it was.
        const rule = applied ? { min_probability: applied.min_probability, multi: applied.multi } : {};
        const done = await ask(`${setPath(name)}/apply`, { method: "POST", body: rule });
        toast(`${number(done.labelled)} of ${count(done.pictures, "picture", "pictures")} ${done.labelled === 1 ? "has" : "have"} a label of ${name}; they are facets and filters now.`);
        this.unfolded.add(name);
        await this.on.known();
        this.on.changed();
      } catch (error) {
        this.on.tell(error.message);
      }
      apply.disabled = false;
    }, { className: "quiet-button apply", "aria-label": `Label the library by ${name}` });
    const details = make("details", { className: "named", open: this.unfolded.has(name) },
      make("summary", {}, name, make("span", { className: "soft" }, ` ${count(labels.length, "label", "labels")}`)),
      comparable ? null : outdated("Delete it and make it again."),
      make("ul", { className: "labels" }, ...labels.map((label) => make("li", {},
        make("div", { className: "named-head" },
          make("span", {}, label.label), make("span", { className: "soft" }, knownBy(label)),
          make("span", { className: "named-actions" },
            sure("Delete", "Really delete?", () => gone(`${setPath(name)}/labels/${encodeURIComponent(label.label)}`, `${label.label} is deleted.`),
              { "aria-label": `Delete the label ${label.label}` }))),
        label.examples.length ? shownExamples(label.examples, items, this.on.look) : null))),
      applied ? make("p", { className: "soft applied" }, appliedWords(applied)) : null,
      make("p", { className: "named-actions" }, use, comparable ? apply : null,
        action("Add labels or pictures", () => this.begin([], name), { className: "quiet-button", "aria-label": `Add labels or pictures to ${name}` }),
        sure("Delete the set", "Really delete the set?", () => gone(setPath(name), `${name} is deleted; no picture was touched.`),
          { "aria-label": `Delete the set ${name}` })));
    details.addEventListener("toggle", () => {
      if (details.open) this.unfolded.add(name);
      else this.unfolded.delete(name);
    });
    return make("li", {}, details);
  }
}
