// Given one entry, how does it look in the grid, and what can be done with it there?

import { baseName, icon, make } from "./dom.js";
import { show, thumbnail } from "./api.js";

/** Pictures of tiles that are gone, by id: the next search often shows them again, and then
 *  they should not flicker. */
const kept = new Map();
const MOST_KEPT = 200;

/** The store has changed: a file may show something else now. */
export const forgetPictures = () => kept.clear();

function pictureOf(item, name, gone) {
  const alt = item.caption || name || "Picture";
  const old = kept.get(item.id);
  if (old) {
    kept.delete(item.id);
    old.alt = alt;
    return old;
  }
  const image = make("img", { alt, decoding: "async", draggable: false });
  image.addEventListener("load", () => image.classList.add("here"), { once: true });
  let again = true;
  image.addEventListener("error", () => {
    // Once more: the server may have had too much to do.
    if (again) setTimeout(() => show(image, thumbnail(item.id)), 1_500);
    else gone();
    again = false;
  });
  show(image, thumbnail(item.id));
  return image;
}

function keep(item, image) {
  if (!image?.classList.contains("here")) return;
  kept.set(item.id, image);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
}

/** `state` says of an id whether it is `selected`, `liked`,
 *  `disliked`, and whether one is `selecting`; `on` has
 *  open(entry), select(entry, event), like(entry), dislike(entry), similar(entry). */
export function tileOf(entry, state, on) {
  const { item, closeness } = entry;
  const isImage = item.kind === "image";
  const name = item.path ? baseName(item.path) : "";
  const button = make("button", { type: "button", className: "entry" });
  if (isImage) {
    const frame = make("span", { className: "frame" });
    const image = pictureOf(item, name, () => {
      frame.replaceChildren(make("span", { className: "gone" }, `${name || "This picture"} cannot be shown`));
    });
    frame.append(image);
    button.append(frame);
  } else {
    button.append(make("span", { className: "frame words" }, item.caption ?? ""));
  }
  button.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) on.select(entry, event);
    else on.open(entry, event);
  });

  const plaque = make("span", { className: "plaque" }, make("span", { className: "name", title: item.path ?? undefined }, isImage ? (item.caption ?? "").split("\n")[0] || name : "text"));
  if (entry.copies) plaque.append(make("span", { className: "tag", title: `${entry.copies} more are copies of it` }, `+${entry.copies}`));
  if (entry.byWords) plaque.append(make("span", { className: "tag", title: "Its name, caption or tags have words of the query." }, "words"));
  if (closeness) plaque.append(make("span", { className: "near", title: closeness.meaning }, closeness.text));

  const element = make("li", { className: isImage ? "tile" : "tile text" }, button, plaque);

  // Most tiles are only seen: what can be done with one is made when somebody points at it.
  let tools = null;
  const point = () => {
    if (tools) return;
    const tool = (symbol, label, act) => make("button", {
      type: "button", className: `tool ${symbol}`, title: label, tabIndex: -1,
      "aria-label": `${label}: ${name || "text"}`,
      onclick: (event) => act(entry, event),
    }, icon(symbol));
    tools = {
      select: tool("check", "Select", on.select),
      like: tool("like", "Like: more of this", on.like),
      dislike: tool("dislike", "Dislike: less of this, and not this again", on.dislike),
    };
    element.append(tools.select, make("span", { className: "tools" }, tools.like, tools.dislike,
      tool("similar", "Only similar ones", on.similar)));
    update();
  };
  element.addEventListener("pointerenter", point);
  element.addEventListener("focusin", point);

  function update() {
    const { selected, liked, disliked, selecting } = state(item.id);
    if (selected || liked || disliked || selecting) point();
    element.classList.toggle("selected", selected);
    element.classList.toggle("liked", liked);
    element.classList.toggle("disliked", disliked);
    tools?.select.setAttribute("aria-pressed", selected);
    tools?.like.setAttribute("aria-pressed", liked);
    tools?.dislike.setAttribute("aria-pressed", disliked);
  }
  update();
  return {
    element, button, update,
    remove() {
      element.remove();
      if (isImage) keep(item, element.querySelector(".frame img"));
    },
  };
}
