// Given pictures of the index, and files that are chosen, dropped or pasted, which of
// them is something to be known by?

import { $, action, baseName, count, icon, make, toast } from "./dom.js";
import { ask, show, thumbnail } from "./api.js";
import { readPicture, takeInto } from "./pictures.js";
import { clause, expression } from "./query.js";

/** Characters of pictures in one request; the server takes 32 MB. */
const MOST_SENT = 24_000_000;
/** Examples whose pictures are looked for in the index. */
const MOST_LOOKED_FOR = 60;

export class Examples {
  /** `on` has selected() → items of the index that are picked out, changed(). */
  constructor(on) {
    this.on = on;
    /** {id, name} or {name, data, address}. */
    this.pictures = [];
    this.list = make("ul", { className: "thumbs" });
    const input = make("input", {
      type: "file", multiple: true, hidden: true, tabIndex: -1, accept: $("file").accept, "aria-label": "Example pictures",
      onchange: () => {
        this.take([...input.files]);
        input.value = "";
      },
    });
    this.fromSelection = action("", () => this.addItems(this.on.selected()), { className: "plain" });
    this.element = make("div", { className: "examples" }, this.list, input,
      make("span", { className: "examples-actions" },
        action("Choose pictures", () => input.click(), { className: "plain" }), this.fromSelection,
        make("span", { className: "soft" }, "or drop or paste them here")));
    takeInto(this.element, (files) => this.take(files));
    this.draw();
  }

  get isEmpty() {
    return this.pictures.length === 0;
  }

  /** Those that are items already. */
  addItems(items) {
    const there = new Set(this.pictures.map((one) => one.id));
    for (const { id, kind, path } of items) {
      if (kind === "image" && !there.has(id)) this.pictures.push({ id, name: path ? baseName(path) : "picture" });
    }
    this.draw();
  }

  async take(files) {
    for (const file of files) {
      try {
        const picture = await readPicture(file);
        const sent = this.pictures.reduce((sum, one) => sum + (one.data?.length ?? 0), 0);
        if (sent + picture.data.length > MOST_SENT) throw new Error("That is as much as can be sent at once; add the others afterwards.");
        this.pictures.push(picture);
      } catch (error) {
        toast(error.message);
      }
    }
    this.draw();
  }

  clear() {
    for (const { address } of this.pictures) if (address) URL.revokeObjectURL(address);
    this.pictures = [];
    this.draw();
  }

  /** As the server takes them. */
  get fields() {
    const ids = this.pictures.flatMap(({ id }) => (id ? [id] : []));
    const images = this.pictures.flatMap(({ data }) => (data ? [data] : []));
    return { ...(ids.length ? { ids } : {}), ...(images.length ? { images } : {}) };
  }

  /** The selection may have changed since. */
  refresh() {
    const n = this.on.selected().filter(({ kind }) => kind === "image").length;
    this.fromSelection.hidden = n === 0;
    this.fromSelection.textContent = n === 1 ? "Add the selected one" : `Add the ${n} selected`;
  }

  draw() {
    this.refresh();
    this.on.changed?.();
    this.list.hidden = this.isEmpty;
    const had = this.list.contains(document.activeElement);
    this.list.replaceChildren(...this.pictures.map((one) => {
      const image = make("img", { alt: one.name });
      if (one.address) image.src = one.address;
      else show(image, thumbnail(one.id));
      return make("li", {}, image, make("button", {
        type: "button", className: "thumb-drop", title: "Take it out", "aria-label": `Without: ${one.name}`,
        onclick: () => {
          if (one.address) URL.revokeObjectURL(one.address);
          this.pictures = this.pictures.filter((other) => other !== one);
          this.draw();
        },
      }, icon("close")));
    }));
    if (had) (this.list.querySelector("button") ?? this.element.querySelector("button")).focus();
  }
}

/** What an example that is kept was: a picture of the index can be looked at. `items` by path. */
export function shownExamples(examples, items, look) {
  const shown = examples.slice(0, 12).map(({ source }) => {
    const item = items.get(source);
    const name = source === "upload" ? "a picture that was sent" : baseName(source);
    if (!item) return make("li", { className: "thumb-name", title: source }, name);
    const image = make("img", { alt: "" });
    show(image, thumbnail(item.id));
    return make("li", {}, make("button", {
      type: "button", className: "thumb-look", title: source, "aria-label": `Look at ${name}`, onclick: () => look(item.id) }, image));
  });
  if (examples.length > shown.length) shown.push(make("li", { className: "thumb-name" }, `and ${count(examples.length - shown.length, "other", "others")}`));
  return make("ul", { className: "thumbs" }, ...shown);
}

/** The items of the index at these paths, by path. Uploads have none. */
export async function itemsAt(paths) {
  const wanted = [...new Set(paths)].filter((path) => path !== "upload").slice(0, MOST_LOOKED_FOR);
  if (!wanted.length) return new Map();
  try {
    const given = new URLSearchParams({ limit: 1_000, filter: expression(wanted.map((path) => clause("path", path))) });
    const { items } = await ask(`/v1/items?${given}`);
    return new Map(items.map((item) => [item.path, item]));
  } catch {
    // Without them there are the names.
    return new Map();
  }
}

/** Says what could not be read of pictures that were sent, or null. */
export function notTakenWords(notTaken) {
  if (!notTaken.length) return null;
  return `${count(notTaken.length, "picture was", "pictures were")} left out: ${notTaken[0].reason}`;
}

/** What a name cannot be compared by any more. */
export const outdated = (what) => make("p", { className: "wrong" },
  `Made with another model, or damaged: it cannot be compared. ${what}`);
