// Given one entry, how does it look in the grid, and what can be done with it there?

import { baseName, icon, make } from "./dom.js";
import { show, thumbnail } from "./api.js";

/** `state` says of an id whether it is `selected`, `liked`, `disliked`; `on` has
 *  open(entry), select(entry, event), like(entry), dislike(entry), similar(entry). */
export function tileOf(entry, state, on) {
  const { item, closeness } = entry;
  const isImage = item.kind === "image";
  const name = item.path ? baseName(item.path) : "";
  const button = make("button", { type: "button", className: "entry" });
  if (isImage) {
    const frame = make("span", { className: "frame" });
    const image = make("img", { alt: item.caption || name || "Picture", decoding: "async", draggable: false });
    image.addEventListener("load", () => image.classList.add("here"), { once: true });
    image.addEventListener("error", () => {
      frame.replaceChildren(make("span", { className: "gone" }, `${name || "This picture"} cannot be shown`));
    }, { once: true });
    show(image, thumbnail(item.id));
    frame.append(image);
    button.append(frame);
  } else {
    button.append(make("span", { className: "frame words" }, item.caption ?? ""));
  }
  button.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) on.select(entry, event);
    else on.open(entry, event);
  });

  const plaque = make("span", { className: "plaque" }, make("span", { className: "name", title: item.path ?? undefined }, isImage ? name : "text"));
  if (entry.copies) plaque.append(make("span", { className: "tag", title: `${entry.copies} more are copies of it` }, `+${entry.copies}`));
  if (entry.byWords) plaque.append(make("span", { className: "tag", title: "Its name, caption or tags have words of the query." }, "words"));
  if (closeness) plaque.append(make("span", { className: "near", title: closeness.meaning }, closeness.text));

  const tool = (symbol, label, act) => make("button", {
    type: "button", className: `tool ${symbol}`, title: label, tabIndex: -1,
    "aria-label": `${label}: ${name || "text"}`,
    onclick: (event) => act(entry, event),
  }, icon(symbol));
  const select = tool("check", "Select", on.select);
  const like = tool("heart", "More of this", on.like);
  const dislike = tool("avoid", "Less of this", on.dislike);
  const tools = make("span", { className: "tools" }, like, dislike, tool("similar", "Only similar ones", on.similar));
  const element = make("li", { className: isImage ? "tile" : "tile text" }, button, plaque, select, tools);

  function update() {
    const { selected, liked, disliked } = state(item.id);
    element.classList.toggle("selected", selected);
    element.classList.toggle("liked", liked);
    element.classList.toggle("disliked", disliked);
    select.setAttribute("aria-pressed", selected);
    like.setAttribute("aria-pressed", liked);
    dislike.setAttribute("aria-pressed", disliked);
  }
  update();
  return { element, button, update };
}
