// Given a store and a model, what is in it, what could not be read, and how good
// are its answers?

import { $, action, count, day, duration, fileSize, make, number, sure, terms } from "./dom.js";
import { ask } from "./api.js";
import { Jobs } from "./jobs.js";
import { copyText } from "./selection.js";
import { percent } from "./words.js";

const SIDES = { "image image": "pictures like a picture", "text image": "pictures for words", "image text": "texts for a picture", "text text": "texts for words" };

export class Library {
  /** `on` has changed(): the store is about to change. */
  constructor(on) {
    this.dialog = $("library");
    this.jobs = new Jobs({ changed: () => on.changed() });
    $("l-failures").addEventListener("toggle", () => { if ($("l-failures").open) this.failures(); });
  }

  open() {
    if (!this.dialog.open) this.dialog.showModal();
    this.jobs.refresh();
    this.models();
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Shows what the server last said about itself. */
  show(status) {
    this.status = status;
    $("l-numbers").replaceChildren(...terms([
      ["Pictures", number(status.images)],
      ["Texts", number(status.texts)],
      ["With a date", number(status.told.taken)],
      ["With a camera", number(status.told.camera)],
      ["With a place", number(status.told.place)],
      ["Kept in", status.data],
    ]));
    const warnings = [...status.warnings, ...status.unfinished.map((root) => `Indexing ${root} was stopped: index it again to go on.`)];
    $("l-warnings").hidden = !warnings.length;
    $("l-warnings").replaceChildren(...warnings.map((text) => make("li", {}, text)));
    this.roots(status.roots);
    $("l-no-roots").hidden = status.roots.length > 0;
    this.progress(status.indexing);
    $("j-retry").hidden = !status.failures;
    $("l-failures-count").textContent = status.failures ? count(status.failures, "file", "files") : "none";
    if ($("l-failures").open && this.known !== status.failures) this.failures();
    this.model(status);
    this.recall(status);
  }

  roots(roots) {
    const key = roots.join("\n");
    if (this.shownRoots === key) return;
    this.shownRoots = key;
    $("l-roots").replaceChildren(...roots.map((root) => make("li", {}, make("code", {}, root), make("span", {},
      action("Index again", () => this.jobs.start({ paths: [root] }), { className: "quiet-button", "aria-label": `Index again: ${root}` }),
      sure("Forget", "Really forget? No file is touched", () => this.jobs.start({ action: "remove", paths: [root] }),
        { "aria-label": `Forget: ${root}` })))));
  }

  progress(indexing) {
    const line = $("l-progress");
    line.hidden = !indexing;
    if (!indexing) return;
    const { seen, indexed, unchanged, failed, waiting, eta_seconds: eta } = indexing;
    const left = eta === null ? "" : `, about ${duration(eta)} to go`;
    $("l-progress-words").textContent = `Indexing: ${number(indexed)} new, ${number(unchanged)} known, ${number(failed)} failed, ${number(waiting)} waiting${left}`;
    const bar = $("l-progress-bar");
    bar.max = Math.max(1, seen);
    bar.value = Math.max(0, seen - waiting);
  }

  async failures() {
    this.known = this.status?.failures;
    const list = $("l-failures-list");
    try {
      const { failures } = await ask("/v1/failures");
      // A folder full of broken files should not break the page.
      list.replaceChildren(...failures.slice(0, 500).flatMap(({ path, reason, at }) => [
        make("dt", {}, path), make("dd", {}, reason, make("span", { className: "soft" }, ` · ${day(at)}`))]));
      if (!failures.length) list.replaceChildren(make("dd", {}, "Every file that was found could be read."));
      if (failures.length > 500) list.append(make("dd", {}, `and ${number(failures.length - 500)} more: ek status --failures`));
      if (failures.length) {
        list.append(make("dd", {}, action("Copy this list", () => copyText(
          failures.map(({ path, reason }) => `${path}\t${reason}`).join("\n"), "List copied"), { className: "quiet-button" })));
      }
    } catch (error) {
      list.replaceChildren(make("dd", { className: "wrong" }, error.message));
    }
  }

  model(status) {
    // The store was moved to another one.
    if (this.space !== status.space && this.isOpen) this.models();
    this.space = status.space;
    $("l-model").replaceChildren(...terms([
      ["Vectors", `${number(status.dim)} numbers, space ${status.space}`],
      ["Searched by", status.vector_index],
      ["Program", `Ekphrasis ${status.version}`],
    ]));
  }

  async models() {
    try {
      const { models } = await ask("/v1/models");
      $("l-models").replaceChildren(...models.map((model) => make("li", {},
        make("p", {}, make("strong", {}, model.title ?? model.name),
          model.chosen ? make("span", { className: "badge-word" }, "in use") : null),
        make("p", { className: model.problem ? "wrong" : "soft" },
          model.problem ?? [model.summary, `${fileSize(model.bytes)}, ${model.license}`].filter(Boolean).join(" ")),
        this.mover(model))));
    } catch (error) {
      $("l-models").replaceChildren(make("li", { className: "wrong" }, error.message));
    }
  }

  /** A button that moves the store to a model, where that would change something. */
  mover(model) {
    if (model.problem || model.of_store || !this.status?.images) return null;
    // The one that comes with the program goes by its own name and not by its folder's.
    const name = model.name.includes("/") ? model.title : model.name;
    return sure("Use this one", "Really? Everything is embedded anew; search goes on meanwhile", () => this.jobs.move(name),
      { "aria-label": `Use this one: ${name}` });
  }

  recall({ recall }) {
    const words = $("l-recall-words");
    $("l-recall").hidden = !recall || recall.exact;
    if (!recall) {
      words.textContent = "Not measured yet: ek recall does it, on your own pictures.";
    } else if (recall.exact) {
      words.textContent = "Every search compares with every picture, so nothing is missed.";
    } else {
      words.textContent = `Measured on ${day(recall.measured)}: how many of the true ten nearest a search finds. ${recall.met ? "The aim is met" : "The aim is missed"}: ${percent(recall.target)}.`;
      $("l-recall-rows").replaceChildren(...recall.sides.map((side) => make("tr", {},
        make("th", { scope: "row" }, SIDES[`${side.from} ${side.to}`] ?? `${side.to} for ${side.from}`),
        make("td", {}, `${percent(side.recall)} ± ${percent(side.error)}`),
        make("td", {}, `${side.ms.toFixed(2)} ms`),
        make("td", {}, `${side.exact_ms.toFixed(2)} ms`))));
    }
  }
}
