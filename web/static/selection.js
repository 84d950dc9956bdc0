// Given entries that were picked out, what can be done with all of them?

import { $, count, toast } from "./dom.js";
import { save } from "./api.js";

/** More than this is a job for `ek export`. */
export const MOST = 10_000;

export async function copyText(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS beyond this machine there is no clipboard but the old way.
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) {
      toast("The browser does not let the page copy.");
      return;
    }
  }
  toast(done);
}

/** A cell that a spreadsheet takes as text, never as a formula. */
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A list of items as a file: `text` (paths), `csv` or `json`. */
export function written(items, form) {
  if (form === "text") return `${items.map((item) => item.path ?? item.caption ?? item.id).join("\n")}\n`;
  if (form === "json") {
    const plain = items.map(({ id, kind, path, caption, score, confidence, meta }) => ({ id, kind, path, caption, score, confidence, meta }));
    return `${JSON.stringify(plain, null, 2)}\n`;
  }
  const rows = items.map(({ id, path, caption, score, meta }) => [
    path, caption, meta.width, meta.height, meta.size, meta.taken, meta.camera, (meta.tags ?? []).join("; "), score, id]);
  const head = ["path", "caption", "width", "height", "bytes", "taken", "camera", "tags", "score", "id"];
  return `${[head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

export class Selection {
  /** `on` has changed(), like(ids), all(progress) → items, name(items). */
  constructor(on) {
    this.on = on;
    this.items = new Map();
    this.anchor = null;
    this.mode = false;
    $("s-clear").onclick = () => this.clear();
    $("s-copy").onclick = () => copyText(written(this.list, "text"), `${count(this.items.size, "path", "paths")} copied`);
    $("s-like").onclick = () => on.like([...this.items.keys()]);
    $("s-name").onclick = () => on.name(this.list);
    $("s-all").onclick = () => this.all();
    for (const form of ["text", "csv", "json"]) {
      $(`s-${form}`).onclick = () => {
        const types = { text: "text/plain", csv: "text/csv", json: "application/json" };
        save(new Blob([written(this.list, form)], { type: `${types[form]};charset=utf-8` }), `pictures.${form === "text" ? "txt" : form}`);
        toast(`${count(this.items.size, "entry", "entries")} written to pictures.${form === "text" ? "txt" : form}`);
      };
    }
    $("select").onclick = () => {
      if (this.mode) this.clear();
      else this.setMode(true);
    };
  }

  get list() {
    return [...this.items.values()];
  }

  setMode(mode) {
    this.mode = mode;
    $("select").setAttribute("aria-pressed", mode);
    this.show();
    this.on.changed();
  }

  has(id) {
    return this.items.has(id);
  }

  /** Takes one in or out; with a range, all from the last one to it. */
  toggle(item, range = null) {
    if (range) for (const one of range) this.items.set(one.id, one);
    else if (!this.items.delete(item.id)) this.items.set(item.id, item);
    this.anchor = item.id;
    if (this.items.size && !this.mode) this.setMode(true);
    else this.show();
    this.on.changed();
  }

  async all() {
    $("s-all").disabled = true;
    try {
      const items = await this.on.all((n) => { $("s-count").textContent = `${n} …`; });
      for (const item of items) this.items.set(item.id, item);
      if (items.length >= MOST) toast(`The first ${MOST.toLocaleString("en")} are selected; ek export writes all.`);
    } catch (error) {
      toast(error.message);
    }
    $("s-all").disabled = false;
    this.show();
    this.on.changed();
  }

  clear() {
    const had = $("selection").contains(document.activeElement);
    this.items.clear();
    this.setMode(false);
    if (had) $("select").focus();
  }

  show() {
    $("selection").hidden = !this.mode;
    document.body.classList.toggle("selecting", this.mode);
    $("s-count").textContent = this.items.size ? `${count(this.items.size, "entry", "entries")} selected` : "Choose pictures";
    for (const id of ["s-copy", "s-like", "s-name", "s-text", "s-csv", "s-json"]) $(id).disabled = !this.items.size;
  }
}
