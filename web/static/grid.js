// Given items or hits, how do they lie on the page, and how does one move
// among them with the keyboard?

import { baseName, make } from "./dom.js";
import { show, thumbnail } from "./api.js";

export class Grid {
  /** `open(index)` is called for the entry that was chosen. */
  constructor(list, open) {
    this.list = list;
    this.open = open;
    this.entries = [];
    list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.open(this.buttons().indexOf(button));
    });
    list.addEventListener("keydown", (event) => this.move(event));
    list.addEventListener("focusin", (event) => this.mark(event.target));
    this.width = 0;
    new ResizeObserver(() => {
      if (Math.round(list.clientWidth) !== this.width) this.layout();
    }).observe(list);
  }

  /** Rows as wide as the page, about one height; no picture is cut to fit. */
  layout() {
    const style = getComputedStyle(this.list);
    const [wish, gap] = [parseFloat(style.getPropertyValue("--row")), parseFloat(style.columnGap)];
    this.width = Math.round(this.list.clientWidth);
    // A pixel to spare, so that rounding never breaks a row.
    const space = this.list.clientWidth - 1;
    const tiles = [...this.list.children];
    let row = [];
    const place = (height) => {
      for (const tile of row) {
        tile.style.width = `${tile.shape * height}px`;
        tile.style.setProperty("--height", `${height}px`);
      }
      row = [];
    };
    for (const tile of tiles) {
      row.push(tile);
      const shapes = row.reduce((sum, one) => sum + one.shape, 0);
      const height = (space - gap * (row.length - 1)) / shapes;
      if (height <= wish * 1.15) place(height);
    }
    place(wish);
  }

  buttons() {
    return [...this.list.querySelectorAll(".entry")];
  }

  /** Shows `entries` ({item, closeness, byWords}) in place of all before, or after them. */
  show(entries, append = false) {
    if (!append) {
      this.entries = [];
      this.list.replaceChildren();
    }
    this.entries.push(...entries);
    // Bars are relative to the best; its own number says how good that is.
    this.best = Math.max(...this.entries.map((entry) => entry.closeness?.value ?? 0));
    this.list.append(...entries.map((entry) => this.tile(entry)));
    this.layout();
    const buttons = this.buttons();
    if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
  }

  tile(entry) {
    const { item, closeness } = entry;
    const isImage = item.kind === "image";
    const name = item.path ? baseName(item.path) : "";
    const button = make("button", { type: "button", className: "entry", tabIndex: -1 });
    const tile = make("li", { className: "tile" }, button);
    let shape = 1.5;
    if (isImage) {
      const { width, height } = item.meta;
      if (width && height) shape = Math.min(3, Math.max(0.5, width / height));
      const frame = make("span", { className: "frame" });
      const image = make("img", { alt: item.caption || name, decoding: "async" });
      if (this.entries.indexOf(entry) > 20) image.loading = "lazy";
      image.addEventListener("load", () => button.classList.add("loaded"), { once: true });
      image.addEventListener("error", () => {
        image.remove();
        frame.append(make("span", { className: "gone" }, `${name || "This picture"} cannot be shown`));
      }, { once: true });
      show(image, thumbnail(item.id));
      frame.append(image);
      button.append(frame);
    } else {
      tile.classList.add("text");
      button.append(make("span", { className: "words" }, item.caption ?? ""));
    }
    tile.shape = shape;
    if (closeness) {
      tile.classList.add("scored");
      const fill = make("span", { className: "fill" });
      const share = this.best > 0 ? Math.max(0, closeness.value / this.best) : 0;
      fill.style.width = `${Math.min(1, share) * 100}%`;
      const score = make("span", { className: "score", title: closeness.meaning },
        make("span", { className: "track", "aria-hidden": "true" }, fill),
        make("span", { className: "number" }, closeness.text));
      if (entry.byWords) {
        score.append(make("span", { className: "tag", title: "its name or caption has words of the query" }, "words"));
      }
      button.append(score);
    } else if (isImage) {
      button.append(make("span", { className: "label" }, name));
    }
    return tile;
  }

  /** Exactly one entry can be reached with Tab. */
  mark(target) {
    const button = target.closest?.(".entry");
    if (!button) return;
    for (const other of this.list.querySelectorAll('.entry[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  focus(index) {
    const button = this.buttons()[index];
    button?.focus();
    button?.scrollIntoView({ block: "nearest" });
    return Boolean(button);
  }

  move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const buttons = this.buttons();
    const at = buttons.indexOf(event.target.closest(".entry"));
    if (at < 0) return;
    let to = at;
    if (event.key === "ArrowRight") to = at + 1;
    else if (event.key === "ArrowLeft") to = at - 1;
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = buttons.length - 1;
    else if (event.key === "ArrowDown") to = this.beyond(buttons, at, 1);
    else if (event.key === "ArrowUp") to = this.beyond(buttons, at, -1);
    else return;
    event.preventDefault();
    if (to < 0) document.getElementById("q").focus();
    else this.focus(Math.min(to, buttons.length - 1));
  }

  /** The entry of the next row (or the one before) whose middle is nearest; −1 above the first row. */
  beyond(buttons, at, step) {
    const place = (button) => button.getBoundingClientRect();
    const here = place(buttons[at]);
    const middle = here.left + here.width / 2;
    let best = -1;
    let nearest = Infinity;
    let row = null;
    for (let i = at + step; i >= 0 && i < buttons.length; i += step) {
      const there = place(buttons[i]);
      if (Math.abs(there.top - here.top) < 2) continue;
      row ??= there.top;
      if (Math.abs(there.top - row) >= 2) break;
      const distance = Math.abs(there.left + there.width / 2 - middle);
      if (distance < nearest) [best, nearest] = [i, distance];
    }
    return best < 0 && step > 0 ? at : best;
  }
}
