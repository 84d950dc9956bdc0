// Given one entry, what is there to know about it and to do with it?

import { $, bar, baseName, fileSize, folder, make } from "./dom.js";
import { ask, hasKey, original, show, thumbnail } from "./api.js";

const SHOWN_BY_BROWSERS = ["jpeg", "jpg", "png", "gif", "webp", "bmp", "ico"];

function percent(p) {
  if (p > 0 && p < 0.001) return "< 0.1 %";
  return `${(p * 100).toFixed(p > 0.995 && p < 1 || p < 0.1 ? 1 : 0)} %`;
}

export class Viewer {
  /** `on` has: like(item), search(words), step(by), closed(), problem(error). */
  constructor(on) {
    this.on = on;
    this.dialog = $("viewer");
    this.subject = null;
    $("v-close").onclick = () => this.dialog.close();
    $("v-prev").onclick = () => on.step(-1);
    $("v-next").onclick = () => on.step(1);
    $("v-like").onclick = () => on.like(this.subject);
    $("v-form").onsubmit = (event) => {
      event.preventDefault();
      this.label();
    };
    $("v-ask").onclick = () => this.describe();
    this.dialog.addEventListener("close", () => {
      this.subject = null;
      $("v-image").removeAttribute("src");
      on.closed();
    });
    // A click beside the dialog closes it.
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowLeft") on.step(-1);
      else if (event.key === "ArrowRight") on.step(1);
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** `subject`: {item} with `parts` and `query` if it was found, or {picture} for an upload. */
  open(subject, { previous, next }) {
    this.subject = subject;
    const { item, picture } = subject;
    const isText = item?.kind === "text";
    const name = picture ? picture.name : item.path ? baseName(item.path) : isText ? "Text" : "Picture";
    $("v-title").textContent = name;
    $("v-prev").hidden = !previous;
    $("v-next").hidden = !next;
    $("v-image").hidden = isText;
    $("v-text").hidden = !isText;
    $("v-text").textContent = isText ? item.caption ?? "" : "";
    $("v-caption").hidden = isText || !item?.caption;
    $("v-caption").textContent = isText ? "" : item?.caption ?? "";
    $("v-like").hidden = Boolean(picture);
    $("v-label").hidden = isText;
    $("v-describe").hidden = isText;
    $("v-open").hidden = !item?.path || isText || hasKey();
    if (item) $("v-open").href = original(item.id);
    for (const id of ["v-labels", "v-words-found"]) $(id).replaceChildren();
    if (!isText) this.picture(item, picture, name);
    this.facts(item, picture);
    this.scores(subject);
    if (!this.dialog.open) this.dialog.showModal();
    if (!isText && $("v-words").value.trim()) this.label();
  }

  picture(item, picture, name) {
    const image = $("v-image");
    image.alt = item?.caption || name;
    image.onerror = () => { image.alt = `${name} cannot be shown`; };
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

  facts(item, picture) {
    const rows = [];
    const meta = item?.meta ?? {};
    if (item?.path) rows.push(["Folder", folder(item.path)]);
    if (meta.width) rows.push(["Dimensions", `${meta.width} × ${meta.height}`]);
    const size = picture ? picture.size : meta.size;
    const format = meta.format ? ` ${meta.format.toUpperCase()}` : "";
    if (size !== undefined) rows.push(["Size", `${fileSize(size)}${format}`]);
    if (meta.modified) {
      rows.push(["Changed", new Date(meta.modified).toLocaleDateString(undefined, { dateStyle: "medium" })]);
    }
    if (meta.tags?.length) rows.push(["Tags", meta.tags.join(", ")]);
    if (picture) rows.push(["", "Only looked at for the search; it is not kept."]);
    $("v-facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  }

  scores({ parts = [], query }) {
    const asked = query?.parts ?? [];
    const rows = parts.map((part, i) => {
      if (i >= asked.length) {
        return bar("name and caption", part.score / 10, part.score.toFixed(1), { title: "how well the words of its name and caption fit (BM25)" });
      }
      const what = asked[i].text ?? (asked[i].image ? "your picture" : "that picture");
      return bar(what, part.score, part.score.toFixed(2), { title: `${what}: cosine, from -1 to 1` });
    });
    $("v-scores").hidden = rows.length === 0;
    $("v-parts").replaceChildren(...rows);
  }

  /** Asks about the picture that is open; nothing happens with an answer that comes too late. */
  async about(path, fields, list, rows) {
    const { subject } = this;
    const source = subject.picture ? { image: subject.picture.data } : { id: subject.item.id };
    list.classList.add("waiting");
    try {
      const reply = await ask(path, { body: { ...source, ...fields } });
      if (this.subject === subject) list.replaceChildren(...rows(reply.images[0]));
    } catch (error) {
      if (this.subject === subject) {
        list.replaceChildren(make("li", { className: "wrong" }, error.message));
      }
    } finally {
      list.classList.remove("waiting");
    }
  }

  label() {
    const words = $("v-words").value.split(",").map((word) => word.trim()).filter(Boolean);
    const labels = [...new Set(words)];
    const list = $("v-labels");
    if (labels.length < 2) {
      list.replaceChildren(make("li", { className: "wrong" },
        "Give at least two different words, with commas between: the picture is judged by which fits better."));
      return;
    }
    this.about("/v1/label", { labels }, list, (image) => {
        const rows = image.labels.map((l) => bar(l.label, l.probability, percent(l.probability), {
        title: `${l.label}: cosine ${l.score.toFixed(3)}`,
      }));
      if (image.none_of_these !== null) {
        rows.push(bar("none of these", image.none_of_these, percent(image.none_of_these), { muted: true }));
      }
      return rows;
    });
  }

  describe() {
    this.about("/v1/describe", { k: 8 }, $("v-words-found"), ({ descriptions }) => {
      if (!descriptions.length) {
        return [make("li", { className: "wrong" }, "There are no words to choose from: neither texts in the index nor a vocabulary of the model.")];
      }
      return descriptions.map((found) => bar(found.text, found.score, found.score.toFixed(2), {
        click: () => this.on.search(found.text), title: `Search for “${found.text}”`,
      }));
    });
  }
}
