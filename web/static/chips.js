// Given a query, which of its parts stand under the box, each with a way to drop it?

import { $, baseName, icon, make } from "./dom.js";
import { show, thumbnail } from "./api.js";
import { dropWithout, readClause, readWords } from "./query.js";

const NAMES = { path: "in", folder: "folder", taken: "taken", camera: "camera", tag: "tag", label: "label", color: "colour", format: "format", near: "near", lens: "lens" };

/** Of what was liked, and of what was disliked, so many have a chip of their own. */
const MOST_SHOWN = 6;

/** A condition as a person says it: [what it is about, its value]. */
export function conditionWords(text) {
  const read = readClause(text);
  if (!read) return ["", text];
  const name = NAMES[read.field] ?? read.field;
  const value = read.field === "path" ? baseName(read.value.replace(/\/\*{0,2}$/, "")) : read.value;
  return [read.not ? `not ${name}` : name, value];
}

function chip(kind, what, words, drop, { image, look, title } = {}) {
  const body = [];
  if (image) {
    const picture = make("img", { alt: "", width: 28, height: 28 });
    if (image.address) picture.src = image.address;
    else show(picture, thumbnail(image.id));
    body.push(picture);
  }
  if (what) body.push(make("span", { className: "what" }, what));
  if (words) body.push(make("span", { className: "value" }, words));
  const label = [what, words].filter(Boolean).join(" ") || "picture";
  const main = look
    ? make("button", { type: "button", className: "chip-look", onclick: look, title: title ?? "Look at it", "aria-label": `${label}: look at it` }, ...body)
    : make("span", { className: "chip-look", title }, ...body);
  return make("li", { className: `chip ${kind}` }, main,
    make("button", { type: "button", className: "chip-drop", onclick: drop, "aria-label": `Without: ${label}`, title: "Take it out" }, icon("close")));
}

/** Shows the parts of `query` but its words; `on` has change(changes), look({id} or {picture}). */
export function showChips(query, on) {
  const chips = [];
  const { without } = readWords(query.q);
  if (query.picture) {
    chips.push(chip("picture", "", query.picture.name, () => on.change({ picture: null }), {
      image: query.picture, look: () => on.look({ picture: query.picture }),
      title: "Your picture. It is not kept, and no address leads back to it.",
    }));
  }
  for (const [name, what] of [["like", "liked"], ["dislike", "disliked"]]) {
    const all = query[name];
    // How many there are, and the last ones: a hundred may be.
    if (all.length > 1) chips.push(chip(`${name}-all`, `${all.length} ${what}`, "", () => on.change({ [name]: [] })));
    for (const id of all.slice(-MOST_SHOWN)) {
      chips.push(chip(name, what, "", () => on.change({ [name]: all.filter((one) => one !== id) }), { image: { id }, look: () => on.look({ id }) }));
    }
  }
  for (const words of without) chips.push(chip("without", "without", words, () => on.change({ q: dropWithout(query.q, words) })));
  for (const one of query.filter) {
    const [what, value] = conditionWords(one);
    chips.push(chip("filter", what, value, () => on.change({ filter: query.filter.filter((other) => other !== one) }), { title: one }));
  }
  if (query.collapse) chips.push(chip("filter", "", "one of each copies", () => on.change({ collapse: false })));
  if (query.diverse) chips.push(chip("filter", "", "different ones first", () => on.change({ diverse: false })));
  if (chips.length > 1) {
    chips.push(make("li", {}, make("button", {
      type: "button", className: "quiet-button",
      onclick: () => on.change({ picture: null, like: [], dislike: [], filter: [], collapse: false, diverse: false, q: readWords(query.q).words }),
    }, "Take all out")));
  }
  const list = $("chips");
  // The one that was dropped had the focus: it goes on to what stands in its place.
  const at = [...list.querySelectorAll(".chip-drop")].indexOf(document.activeElement);
  list.replaceChildren(...chips);
  list.hidden = chips.length === 0;
  if (at >= 0) {
    const drops = list.querySelectorAll(".chip-drop");
    (drops[Math.min(at, drops.length - 1)] ?? $("q")).focus();
  }
}
