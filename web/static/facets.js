// Given what passes the filters, by what can it be narrowed further? Counts per
// folder, year, camera and so on, and a line for whatever else one can say.

import { $, baseName, make, number } from "./dom.js";
import { ask } from "./api.js";
import { expression, readClause, readWords, writeWords } from "./query.js";

/** Headings of the properties, in this order, and the field of the filter for each. */
const FACETS = [
  ["folder", "Folder", "path"],
  ["year", "Year", "taken"],
  ["camera", "Camera", "camera"],
  ["label", "Label", "label"],
  ["tag", "Tag", "tag"],
  ["color", "Colour", "color"],
  ["format", "Format", "format"],
];
/** Values shown before "more". */
const FEW = 8;

export class Facets {
  /** `on` has change(changes), counted(reply). */
  constructor(on) {
    this.on = on;
    this.query = null;
    this.asked = null;
    this.wide = new Set();
    this.closed = new Set();
    $("f-close").onclick = () => this.toggle(false);
    $("filters").onclick = () => {
      this.toggle();
      try {
        localStorage.setItem("ekphrasis-filters", this.isOpen ? "open" : "closed");
      } catch { /* storage is off: next time it is as the width of the window says */ }
    };
    $("f-without").onsubmit = (event) => {
      event.preventDefault();
      const word = $("f-word").value.trim();
      if (!word) return;
      const { words, without } = readWords(this.query.q);
      $("f-word").value = "";
      on.change({ q: writeWords(words, [...new Set([...without, word])]) });
    };
    $("f-free").onsubmit = (event) => {
      event.preventDefault();
      this.add($("f-text").value.trim());
    };
    $("f-copies").onchange = () => on.change({ collapse: $("f-copies").checked });
    $("f-diverse").onchange = () => on.change({ diverse: $("f-diverse").checked });
    // On a small screen it lies above the pictures: a tap beside it is meant to close it.
    document.addEventListener("pointerdown", (event) => {
      const above = matchMedia("(max-width: 1000px)").matches && this.isOpen;
      if (above && !event.target.closest("#facets, #filters, dialog")) this.toggle(false);
    });
    // A window that became narrow shows its pictures, not what lies above them.
    matchMedia("(max-width: 1000px)").addEventListener("change", ({ matches }) => {
      if (matches && this.isOpen) this.toggle(false);
    });
    $("facets").addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.toggle(false);
      }
    });
  }

  get isOpen() {
    return !$("facets").hidden;
  }

  toggle(open = !this.isOpen) {
    const had = $("facets").contains(document.activeElement);
    $("facets").hidden = !open;
    $("filters").setAttribute("aria-expanded", open);
    document.body.classList.toggle("with-facets", open);
    if (open) {
      this.load();
      if (matchMedia("(max-width: 1000px)").matches) $("f-close").focus();
    } else if (had) {
      $("filters").focus();
    }
  }

  /** A condition in the server's words: what is wrong with it is said where it was typed. */
  async add(text) {
    if (!text) return;
    try {
      await ask(`/v1/items?${new URLSearchParams({ limit: 1, filter: expression([text]) })}`);
      $("f-text").value = "";
      $("f-wrong").textContent = "";
      this.on.change({ filter: [...this.query.filter, text] });
    } catch (error) {
      $("f-wrong").textContent = error.message;
    }
  }

  /** Open, if that is how it was left, or if there is room for it. */
  restore() {
    let left = null;
    try {
      left = localStorage.getItem("ekphrasis-filters");
    } catch { /* as above */ }
    if (matchMedia("(min-width: 1001px)").matches && left !== "closed" && (left === "open" || innerWidth >= 1280)) this.toggle(true);
  }

  /** Follows `query`; asks only when it is to be seen and something changed. */
  follow(query) {
    this.query = query;
    $("f-copies").checked = query.collapse;
    $("f-diverse").checked = query.diverse;
    if (this.isOpen) this.load();
  }

  async load(again = false) {
    const { query } = this;
    const filter = expression(query.filter);
    const key = `${query.kind} ${filter}`;
    if (this.asked === key && !again) return;
    this.asked = key;
    // Of a property that is chosen by already, the other values are counted as if it were
    // not: choosing one more adds to it.
    const fields = new Set(query.filter.map(readClause).filter((one) => one && !one.not).map((one) => one.field));
    const own = FACETS.filter(([, , field]) => fields.has(field));
    const without = ([, , field]) => query.filter.filter((one) => {
      const read = readClause(one);
      return !read || read.not || read.field !== field;
    });
    const counted = (wanted) => {
      const given = new URLSearchParams({ for: query.kind });
      if (wanted) given.set("filter", wanted);
      return ask(`/v1/facets?${given}`);
    };
    try {
      const [reply, ...others] = await Promise.all([filter, ...own.map((one) => expression(without(one)))].map(counted));
      own.forEach(([name], i) => {
        const group = others[i].facets.find((one) => one.name === name);
        reply.facets = [...reply.facets.filter((one) => one.name !== name), ...(group ? [group] : [])];
      });
      if (this.asked !== key) return;
      this.reply = reply;
      this.draw();
    } catch (error) {
      if (this.asked !== key) return;
      this.asked = null;
      $("f-lists").replaceChildren(make("p", { className: "wrong" }, error.message));
    }
  }

  draw() {
    const byName = new Map(this.reply.facets.map((facet) => [facet.name, facet]));
    const lists = [];
    for (const [name, heading, field] of FACETS) {
      const { values = [], distinct = 0 } = byName.get(name) ?? {};
      const writable = values.filter((one) => one.filter !== null);
      // What was chosen stays to be seen, even if nothing is left of it.
      const chosen = this.query.filter.filter((one) => {
        const read = readClause(one);
        return read && !read.not && read.field === field && !writable.some((value) => value.filter === one);
      });
      const all = [...writable, ...chosen.map((one) => ({ value: readClause(one).value.replace(/\/\*{0,2}$/, ""), count: 0, filter: one }))];
      if (all.length) lists.push(this.list(name, heading, all, Math.max(distinct, all.length)));
    }
    if (!lists.length) lists.push(make("p", { className: "soft" }, "The files say nothing to narrow by: no dates, cameras or tags."));
    const had = document.activeElement?.dataset?.key;
    $("f-lists").replaceChildren(...lists);
    if (had) $("f-lists").querySelector(`[data-key="${CSS.escape(had)}"]`)?.focus();
  }

  list(name, heading, values, distinct) {
    const many = this.wide.has(name) ? values : values.slice(0, FEW);
    const shown = { folder: folderNames(values.map((one) => one.value)), format: (value) => value.toUpperCase() }[name] ?? String;
    const rows = many.map(({ value, count: n, filter }) => {
      const chosen = this.query.filter.includes(filter);
      const box = make("input", {
        type: "checkbox", checked: chosen, data: { key: filter },
        onchange: () => this.on.change({
          filter: chosen ? this.query.filter.filter((other) => other !== filter) : [...this.query.filter, filter],
        }),
      });
      const swatch = name === "color" ? make("span", { className: `swatch ${value}`, "aria-hidden": "true" }) : null;
      return make("li", {}, make("label", { className: "facet", title: value },
        box, swatch, make("span", { className: "value" }, shown(value)), make("span", { className: "number" }, number(n))));
    });
    const details = make("details", { open: !this.closed.has(name) },
      make("summary", {}, heading), make("ul", {}, ...rows));
    details.addEventListener("toggle", () => {
      if (details.open) this.closed.delete(name);
      else this.closed.add(name);
    });
    if (values.length > many.length) {
      details.append(make("button", {
        type: "button", className: "quiet-button", data: { key: `more ${name}` },
        onclick: () => { this.wide.add(name); this.draw(); },
      }, `${number(values.length - many.length)} more`));
    } else if (distinct > values.length) {
      details.append(make("p", { className: "soft" }, `and ${number(distinct - values.length)} rarer ones`));
    }
    return details;
  }
}

/** Folders by their last name, with the one above where two have the same. */
function folderNames(paths) {
  const seen = new Map();
  for (const path of paths) seen.set(baseName(path), (seen.get(baseName(path)) ?? 0) + 1);
  return (path) => (seen.get(baseName(path)) > 1 ? path.split("/").slice(-2).join("/") : baseName(path));
}
