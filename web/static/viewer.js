// Given one entry, what is there to know about it and to do with it?

import { $, bar, baseName, make, terms } from "./dom.js";
import { ask, original, openFile, show, thumbnail } from "./api.js";
import { factsOf } from "./facts.js";
import { Labelling } from "./labelling.js";
import { Recognising } from "./recognising.js";
import { copyText } from "./selection.js";

const SHOWN_BY_BROWSERS = ["jpeg", "jpg", "png", "gif", "webp", "bmp", "ico", "avif"];

const FIELDS = { caption: "its caption", tag: "a tag", name: "its file name", folder: "its folder", camera: "its camera" };
const HOW = { same: "", beginning: ", by its beginning", similar: ", which is similar" };

export class Viewer {
  /** `on` has: state(id), step(by), closed(), look(id), and for entries similar, like,
   *  dislike, select; search(words), narrow(expression); names, their sheet. */
  constructor(on) {
    this.on = on;
    this.dialog = $("viewer");
    this.subject = null;
    this.asked = new Map();
    $("v-close").onclick = () => this.dialog.close();
    $("v-prev").onclick = () => on.step(-1);
    $("v-next").onclick = () => on.step(1);
    $("v-similar").onclick = () => on.similar(this.subject);
    $("v-like").onclick = () => this.toggled(on.like);
    $("v-dislike").onclick = () => this.toggled(on.dislike);
    $("v-select").onclick = () => this.toggled(on.select);
    $("v-open").onclick = () => openFile(this.subject.item.id);
    $("v-copy").onclick = () => copyText(this.subject.item.path, "Path copied");
    const about = {
      about: (...asked) => this.about(...asked),
      sent: () => this.source(),
      openSets: () => on.names().open("labels"),
      openIdentities: () => on.names().open("identities"),
      keep: (words) => on.names().keep(words),
    };
    this.labelling = new Labelling(about);
    this.recognising = new Recognising(about);
    $("v-describe").addEventListener("toggle", () => { if ($("v-describe").open) this.describe(); });
    this.dialog.addEventListener("close", () => {
      // It is told of later, and may be open again by then.
      if (this.dialog.open) return;
      this.subject = null;
      $("v-image").removeAttribute("src");
      on.closed();
    });
    // A finger drawn across the picture leafs.
    let from = null;
    $("v-stage").addEventListener("touchstart", ({ touches }) => {
      from = touches.length === 1 ? { x: touches[0].clientX, y: touches[0].clientY } : null;
    }, { passive: true });
    $("v-stage").addEventListener("touchend", ({ changedTouches: [last] }) => {
      if (!from) return;
      const [x, y] = [last.clientX - from.x, last.clientY - from.y];
      from = null;
      if (Math.abs(x) > 50 && Math.abs(x) > 2 * Math.abs(y)) on.step(x < 0 ? 1 : -1);
    }, { passive: true });
    // A click beside the dialog closes it.
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  toggled(act) {
    act(this.subject);
    this.state();
  }

  /** `subject`: an entry, or {picture} for an upload. */
  open(subject, { previous = false, next = false, place = "" } = {}) {
    this.subject = subject;
    const { item, picture } = subject;
    const isText = item?.kind === "text";
    const name = picture ? picture.name : item.path ? baseName(item.path) : isText ? "Text" : "Picture";
    $("v-title").textContent = name;
    $("v-place").textContent = place;
    // Not hidden, so that the focus has somewhere to stay at the ends.
    $("v-prev").setAttribute("aria-disabled", !previous);
    $("v-next").setAttribute("aria-disabled", !next);
    $("v-image").hidden = isText;
    $("v-text").hidden = !isText;
    $("v-text").textContent = isText ? item.caption ?? "" : "";
    $("v-caption").hidden = isText || !item?.caption;
    $("v-caption").textContent = isText ? "" : item?.caption ?? "";
    $("v-actions").hidden = Boolean(picture);
    $("v-open").hidden = $("v-copy").hidden = !item?.path;
    for (const id of ["v-label", "v-who", "v-describe"]) $(id).hidden = isText;
    $("v-words-found").replaceChildren();
    if (!isText) this.picture(item, picture, name);
    $("v-facts").replaceChildren(...terms(factsOf(item, picture, (one) => this.on.narrow(one))));
    this.why(subject);
    this.state();
    if (!this.dialog.open) {
      this.dialog.showModal();
      $("v-side").scrollTop = 0;
    }
    this.similar();
    if (!isText && $("v-describe").open) this.describe();
    this.labelling.follow();
    this.recognising.follow();
  }

  state() {
    const id = this.subject?.item?.id;
    if (!id) return;
    const { selected, liked, disliked } = this.on.state(id);
    $("v-like").setAttribute("aria-pressed", liked);
    $("v-dislike").setAttribute("aria-pressed", disliked);
    $("v-select").setAttribute("aria-pressed", selected);
  }

  picture(item, picture, name) {
    const image = $("v-image");
    image.alt = item?.caption || name;
    // A small one is enlarged, but not until it is all dots.
    const { width, height } = item?.meta ?? {};
    image.style.maxWidth = width ? `${2 * width}px` : "";
    image.style.maxHeight = height ? `${2 * height}px` : "";
    image.onerror = () => { image.alt = `${name} cannot be shown here`; };
    if (picture) {
      image.dataset.path = "";
      image.src = picture.address;
      return;
    }
    show(image, thumbnail(item.id));
    if (!SHOWN_BY_BROWSERS.includes(item.meta.format)) return;
    // The small one first, the real one as soon as it is here.
    const full = new Image();
    full.onload = () => {
      if (this.subject?.item === item) {
        image.dataset.path = "";
        image.src = full.src;
      }
    };
    show(full, original(item.id));
  }

  /** Each part's own score, and the words that were found. */
  why({ parts = [], query, matched = [], closeness }) {
    const asked = query?.parts ?? [];
    const rows = parts.map((part, i) => {
      if (i >= asked.length && part.part !== "words") {
        const label = part.part === "liked" ? "like what you liked" : "like what you disliked";
        return bar(label, part.score, part.score.toFixed(2), {
          muted: part.weight < 0, title: `${label}: mean similarity (cosine) ${part.score.toFixed(3)}, counts ${part.weight.toFixed(2)}` });
      }
      if (i >= asked.length) {
        return bar("names and words", part.score / 10, part.score.toFixed(1), { title: "How well its name, caption and tags fit (BM25)" });
      }
      const { text, image, weight } = asked[i];
      const what = text ?? (image ? "your picture" : weight < 0 ? "unlike a picture" : "like a picture");
      const label = weight < 0 && text ? `without ${text}` : what;
      return bar(label, part.score, part.score.toFixed(2), {
        muted: weight < 0, title: `${label}: similarity (cosine) ${part.score.toFixed(3)}, counts ${weight.toFixed(2)}` });
    });
    $("v-why").hidden = rows.length === 0;
    $("v-sure").textContent = closeness?.meaning ?? "";
    $("v-parts").replaceChildren(...rows);
    $("v-matched").replaceChildren(...matched.map(({ word, found, field, how }) => make("li", {},
      make("q", {}, found), ` in ${FIELDS[field] ?? field}${how === "same" ? "" : ` for “${word}”${HOW[how] ?? ""}`}`)));
  }

  async similar() {
    const { subject } = this;
    const list = $("v-near");
    const box = $("v-near-box");
    list.replaceChildren();
    box.hidden = !subject.item;
    if (!subject.item) return;
    try {
      const { hits } = await ask("/v1/search", { body: { id: subject.item.id, k: 9, for: "images", mode: "vector" } });
      if (this.subject !== subject) return;
      const others = hits.filter((hit) => hit.id !== subject.item.id).slice(0, 8);
      list.replaceChildren(...others.map((hit) => {
        const name = hit.path ? baseName(hit.path) : "picture";
        const image = make("img", { alt: "", decoding: "async" });
        show(image, thumbnail(hit.id));
        return make("li", {}, make("button", {
          type: "button", title: `${name}, similarity ${hit.score.toFixed(2)}`, "aria-label": `Look at ${name}`,
          onclick: () => this.on.look(hit.id),
        }, image));
      }));
      box.hidden = others.length === 0;
    } catch {
      box.hidden = true;
    }
  }

  /** The picture that is open, as a request names it; null for a text. */
  source() {
    const { item, picture } = this.subject ?? {};
    if (picture) return { image: picture.data };
    return item && item.kind !== "text" ? { id: item.id } : null;
  }

  /** What is known by name has changed. */
  namesChanged() {
    if (!this.isOpen) return;
    this.labelling.load();
    this.recognising.load();
  }

  /** Asks about the picture that is open; nothing happens with an answer that comes too late. */
  async about(path, fields, list, rows) {
    const { subject } = this;
    // Of several questions for one list the last counts.
    const asked = {};
    this.asked.set(list, asked);
    const current = () => this.subject === subject && this.asked.get(list) === asked;
    list.classList.add("waiting");
    try {
      const reply = await ask(path, { body: { ...this.source(), ...fields } });
      if (current()) list.replaceChildren(...rows(reply.images?.[0] ?? reply));
    } catch (error) {
      if (current()) list.replaceChildren(make("li", { className: "wrong" }, error.message));
    } finally {
      if (this.asked.get(list) === asked) list.classList.remove("waiting");
    }
  }

  describe() {
    if (!this.subject) return;
    this.about("/v1/describe", { k: 8 }, $("v-words-found"), ({ descriptions }) => {
      if (!descriptions.length) {
        return [make("li", { className: "wrong" }, "There are no words to choose from: neither texts in the index nor a vocabulary of the model.")];
      }
      const best = Math.max(...descriptions.map((found) => found.score), 0.01);
      return descriptions.map((found) => bar(found.text, found.score / best, found.score.toFixed(2), {
        click: () => this.on.search(found.text), title: `Search for “${found.text}”`,
      }));
    });
  }
}

