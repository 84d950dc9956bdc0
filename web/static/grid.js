// Given results of any number, which of them are on the page, and where? Only
// what is in sight (and a little around it) is in the document; the rest is
// places of a known or guessed height, filled when somebody looks there.

import { make } from "./dom.js";
import { breakRows, guessHeight, placeRow } from "./layout.js";
import { PAGE } from "./results.js";

/** Pixels around what is in sight that are in the document already. */
const AHEAD = 600;
/** Pixels around it whose entries are asked for already. */
const ASK_AHEAD = 2_500;
/** Pixels a millisecond; who goes faster flies past, and only where he stops is loaded. */
const FAST = 12;
/** Pages that are kept; those farthest from what is in sight go first. */
const MOST_KEPT = 50;
const LOADS_AT_ONCE = 2;

export class Grid {
  /** `on` has: tile(entry, index) → {element, button, update(), remove()}, shown(grid) after every first page, failed(error). */
  constructor(list, on) {
    this.list = list;
    this.on = on;
    this.results = null;
    this.parts = [];
    this.tiles = new Map();
    this.active = 0;
    this.shape = 1.35;
    this.due = 0;
    list.addEventListener("focusin", (event) => {
      const at = this.indexOf(event.target);
      if (at >= 0) this.mark(at);
    });
    list.addEventListener("keydown", (event) => this.move(event));
    addEventListener("scroll", () => this.soon(), { passive: true });
    addEventListener("resize", () => this.soon());
    new ResizeObserver(() => {
      if (Math.round(list.clientWidth) !== this.measures?.width) this.relayout();
    }).observe(list);
  }

  get total() {
    return this.results?.total ?? 0;
  }

  /** Loads the first page of `results` and shows them in place of all before. */
  async show(results, signal) {
    const entries = await results.page(0, signal);
    if (signal?.aborted) return;
    for (const part of this.parts) part.load?.abort();
    const had = this.list.contains(document.activeElement);
    this.results = results;
    this.parts = [];
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.active = 0;
    this.resize();
    this.fill(0, entries);
    if (had) this.focus(0);
    this.on.shown(this);
  }

  measure() {
    const style = getComputedStyle(this.list);
    const of = (name) => parseFloat(style.getPropertyValue(name));
    this.measures = { width: Math.round(this.list.clientWidth), wish: of("--row"), gap: of("--gap"), below: of("--below") };
    return this.measures;
  }

  /** As many parts as the results have pages. */
  resize() {
    const wanted = Math.ceil(this.total / PAGE);
    for (const part of this.parts.slice(wanted)) part.skeleton?.remove();
    this.parts.length = Math.min(this.parts.length, wanted);
    const measures = this.measures ?? this.measure();
    while (this.parts.length < wanted) {
      const count = Math.min(PAGE, this.total - this.parts.length * PAGE);
      this.parts.push({ entries: null, rows: null, height: guessHeight(count, this.shape, measures) });
    }
    this.stack();
  }

  stack() {
    let top = 0;
    for (const part of this.parts) {
      part.top = top;
      top += part.height;
    }
    this.list.style.height = `${Math.ceil(top)}px`;
  }

  /** Takes over the entries of a page; what is in sight stays where it is. */
  fill(place, entries) {
    const before = this.parts.length;
    this.resize();
    const part = this.parts[place];
    if (!part) {
      this.render();
      return;
    }
    const anchor = this.anchor();
    part.entries = entries;
    part.shapes = entries.map((entry) => shapeOf(entry.item));
    part.used = performance.now();
    if (place === 0 && entries.length) this.shape = part.shapes.reduce((a, b) => a + b, 0) / entries.length;
    this.breakPart(place);
    if (this.parts.length !== before || place < 2) {
      for (const other of this.parts) {
        if (!other.rows) other.height = guessHeight(PAGE, this.shape, this.measures);
      }
    }
    this.stack();
    this.hold(anchor);
    this.evict();
    this.render();
  }

  breakPart(place) {
    const part = this.parts[place];
    const last = (place + 1) * PAGE >= this.total;
    const broken = breakRows(part.shapes, { ...this.measures, last });
    part.rows = broken.rows;
    part.height = broken.height;
    part.last = last;
  }

  relayout() {
    const anchor = this.anchor();
    this.measure();
    this.parts.forEach((part, place) => {
      if (part.entries) this.breakPart(place);
      else part.height = guessHeight(PAGE, this.shape, this.measures);
    });
    for (const { element } of this.tiles.values()) element.dataset.place = "";
    this.stack();
    this.hold(anchor);
    this.render();
  }

  /** What is at the upper edge now, so that it can be held there. */
  anchor() {
    const y = -this.list.getBoundingClientRect().top;
    if (y <= 0) return null;
    const place = this.parts.findIndex((part) => part.top + part.height > y);
    if (place < 0) return null;
    const part = this.parts[place];
    return { place, share: (y - part.top) / part.height, y };
  }

  hold(anchor) {
    const part = anchor && this.parts[anchor.place];
    if (!part) return;
    const by = part.top + anchor.share * part.height - anchor.y;
    if (Math.abs(by) >= 1) scrollBy({ top: by, behavior: "instant" });
  }

  evict() {
    const kept = this.parts.filter((part) => part.entries);
    if (kept.length <= MOST_KEPT) return;
    kept.sort((a, b) => a.used - b.used);
    for (const part of kept.slice(0, kept.length - MOST_KEPT)) {
      // The page of the entry that has the focus stays.
      if (part === this.parts[Math.floor(this.active / PAGE)]) continue;
      part.entries = null;
      part.rows = null;
    }
  }

  soon() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.render();
    });
  }

  render() {
    if (!this.results) return;
    const y = -this.list.getBoundingClientRect().top;
    const now = performance.now();
    const isFast = Math.abs(y - (this.lastY ?? y)) > FAST * Math.max(8, now - (this.lastTime ?? 0));
    [this.lastY, this.lastTime] = [y, now];
    const [from, to] = [y - AHEAD, y + innerHeight + AHEAD];
    const wanted = new Set();
    const missing = [];
    this.parts.forEach((part, place) => {
      const near = part.top + part.height >= from && part.top <= to;
      if (!near || part.rows) {
        part.skeleton?.remove();
        part.skeleton = null;
      }
      if (!near) {
        const soon = part.top + part.height >= y - ASK_AHEAD && part.top <= y + innerHeight + ASK_AHEAD;
        if (soon && !part.rows) missing.push(place);
        if (part.load && (part.top > to + 3 * innerHeight || part.top + part.height < from - 3 * innerHeight)) part.load.abort();
        return;
      }
      if (!part.rows) {
        missing.push(place);
        this.stand(part);
        return;
      }
      part.used = now;
      part.rows.forEach((row, i) => {
        const top = part.top + row.top;
        if (top + row.height < from || top > to) return;
        const full = !(part.last && i === part.rows.length - 1 && row.height >= Math.floor(this.measures.wish));
        const places = placeRow(row, part.shapes, { ...this.measures, full });
        for (let at = row.from; at < row.to; at += 1) {
          const index = place * PAGE + at;
          wanted.add(index);
          this.put(index, part.entries[at], { top, height: row.height, ...places[at - row.from] });
        }
      });
    });
    for (const [index, tile] of this.tiles) {
      if (wanted.has(index) || tile.element.contains(document.activeElement)) continue;
      tile.remove();
      this.tiles.delete(index);
    }
    this.reachable();
    if (missing.length) this.load(missing, y, isFast);
  }

  /** A place whose pictures are not here yet. */
  stand(part) {
    part.skeleton ??= make("li", { className: "skeleton", "aria-hidden": "true" });
    part.skeleton.style.top = `${part.top}px`;
    part.skeleton.style.height = `${part.height}px`;
    if (!part.skeleton.isConnected) this.list.append(part.skeleton);
  }

  put(index, entry, { top, left, width, height }) {
    let tile = this.tiles.get(index);
    if (!tile) {
      tile = this.on.tile(entry, index);
      tile.element.dataset.index = index;
      tile.element.setAttribute("aria-posinset", index + 1);
      tile.button.tabIndex = -1;
      this.tiles.set(index, tile);
      // In the order of the results, which is also the order of reading; nothing
      // that is there already is moved, or it would lose the focus.
      let next = null;
      for (const other of this.list.children) {
        if (other.dataset.index === undefined || Number(other.dataset.index) > index) {
          next = other;
          break;
        }
      }
      this.list.insertBefore(tile.element, next);
    }
    if (tile.total !== this.total) {
      tile.total = this.total;
      tile.element.setAttribute("aria-setsize", this.total);
    }
    const place = `${left},${top},${width},${height}`;
    if (tile.element.dataset.place === place) return;
    tile.element.dataset.place = place;
    tile.element.style.transform = `translate(${left}px, ${top}px)`;
    tile.element.style.width = `${width}px`;
    tile.element.style.setProperty("--height", `${height}px`);
  }

  /** Loads what is in sight first; when somebody flies past, only what he stops at. */
  load(missing, y, isFast) {
    const middle = y + innerHeight / 2;
    const far = (place) => Math.abs(this.parts[place].top + this.parts[place].height / 2 - middle);
    missing.sort((a, b) => far(a) - far(b));
    clearTimeout(this.resting);
    if (isFast) this.resting = setTimeout(() => this.soon(), 80);
    else for (const place of missing) this.loadPart(place);
  }

  loadPart(place) {
    const { results } = this;
    const part = this.parts[place];
    if (!part || part.load || part.rows || (part.failed ?? 0) > performance.now()) return;
    if (this.parts.filter((other) => other.load).length >= LOADS_AT_ONCE) return;
    part.load = new AbortController();
    results.page(place * PAGE, part.load.signal).then(
      (entries) => { if (this.results === results) this.fill(place, entries); },
      (error) => {
        if (error.name === "AbortError" || this.results !== results) return;
        part.failed = performance.now() + 3_000;
        this.on.failed(error);
        setTimeout(() => this.soon(), 3_100);
      },
    ).finally(() => {
      part.load = null;
      if (this.results === results) this.soon();
    });
  }

  /** The entry at `index`; null where there is none, or none yet. */
  entry(index) {
    return this.parts[Math.floor(index / PAGE)]?.entries?.[index % PAGE] ?? null;
  }

  /** The entry at `index`, loaded if need be; null beyond the end. */
  async fetch(index) {
    if (index < 0 || index >= this.total) return null;
    const place = Math.floor(index / PAGE);
    if (!this.parts[place]?.entries) {
      const { results } = this;
      const entries = await results.page(place * PAGE);
      if (this.results !== results) return null;
      this.fill(place, entries);
    }
    return this.entry(index);
  }

  find(id) {
    for (let place = 0; place < this.parts.length; place += 1) {
      const at = this.parts[place].entries?.findIndex((entry) => entry.item.id === id) ?? -1;
      if (at >= 0) return place * PAGE + at;
    }
    return -1;
  }

  /** Lets every tile in sight show what changed about its entry. */
  refresh() {
    for (const tile of this.tiles.values()) tile.update();
  }

  indexOf(target) {
    const tile = target.closest?.("[data-index]");
    return tile ? Number(tile.dataset.index) : -1;
  }

  mark(index) {
    this.active = index;
    this.reachable();
  }

  /** Exactly one entry can be reached with Tab: the last one that was, or one in sight. */
  reachable() {
    const one = this.tiles.has(this.active) ? this.active : Math.min(...this.tiles.keys());
    for (const [index, { button }] of this.tiles) {
      const tab = index === one ? 0 : -1;
      if (button.tabIndex !== tab) button.tabIndex = tab;
    }
  }

  /** Moves the focus to an entry, wherever it is; false if there is none. */
  async focus(index) {
    const entry = await this.fetch(index).catch((error) => this.on.failed(error));
    if (!entry) return false;
    const part = this.parts[Math.floor(index / PAGE)];
    const row = part.rows.find((one) => index % PAGE < one.to);
    const top = part.top + row.top + this.list.getBoundingClientRect().top;
    const edge = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    const bottom = top + row.height + this.measures.below + 24;
    let by = 0;
    if (top < edge) by = top - edge;
    else if (bottom > innerHeight) by = Math.min(bottom - innerHeight, top - edge);
    if (by) scrollBy({ top: by, behavior: "instant" });
    this.render();
    this.tiles.get(index)?.button.focus({ preventScroll: true });
    return true;
  }

  move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !event.target.matches(".entry")) return;
    const at = this.indexOf(event.target);
    let to;
    if (event.key === "ArrowRight") to = at + 1;
    else if (event.key === "ArrowLeft") to = at - 1;
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = this.total - 1;
    else if (event.key === "ArrowDown") to = this.beyond(at, 1);
    else if (event.key === "ArrowUp") to = this.beyond(at, -1);
    else return;
    event.preventDefault();
    if (to < 0) document.getElementById("q").focus();
    else this.focus(Math.min(to, this.total - 1));
  }

  /** The entry of the next row (or the one before) whose middle is nearest; −1 above the first row. */
  beyond(index, step) {
    const place = Math.floor(index / PAGE);
    const part = this.parts[place];
    const at = index % PAGE;
    const i = part.rows.findIndex((one) => at < one.to);
    const middleOf = (shapes, row, one) => {
      const spot = placeRow(row, shapes, { ...this.measures, full: false })[one - row.from];
      return spot.left + spot.width / 2;
    };
    const middle = middleOf(part.shapes, part.rows[i], at);
    let [there, row] = [place, part.rows[i + step]];
    if (!row) {
      there = place + step;
      if (there < 0) return -1;
      if (there >= this.parts.length) return index;
      const other = this.parts[there];
      if (!other.rows) return step > 0 ? there * PAGE : there * PAGE + PAGE - 1;
      row = step > 0 ? other.rows[0] : other.rows.at(-1);
    }
    const { shapes } = this.parts[there];
    let best = row.from;
    let nearest = Infinity;
    for (let one = row.from; one < row.to; one += 1) {
      const distance = Math.abs(middleOf(shapes, row, one) - middle);
      if (distance < nearest) [best, nearest] = [one, distance];
    }
    return there * PAGE + best;
  }
}

/** Width for a height of 1; very long ones are shown in part. */
function shapeOf(item) {
  if (item.kind !== "image") return 1.5;
  const { width, height } = item.meta;
  return width && height ? Math.min(2.8, Math.max(0.55, width / height)) : 1.4;
}
