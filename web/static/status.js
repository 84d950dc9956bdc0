// Given a server that goes on working, how does the page follow what it does?

import { $, count, number } from "./dom.js";
import { ask } from "./api.js";

export class StatusLine {
  /** `on` has changed(status, before), lost(error), open(). */
  constructor(on) {
    this.on = on;
    this.status = null;
    this.due = 0;
    $("library-button").onclick = () => on.open();
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.refresh(); });
  }

  async refresh() {
    clearTimeout(this.due);
    let error = null;
    try {
      const before = this.status;
      this.status = await ask("/v1/status");
      this.show();
      this.on.changed(this.status, before);
    } catch (caught) {
      error = caught;
      $("status-text").textContent = "not connected";
      $("library-button").dataset.state = "lost";
      this.on.lost(error);
    }
    const soon = error ? 4_000 : this.status?.indexing ? 1_500 : 15_000;
    clearTimeout(this.due);
    this.due = setTimeout(() => this.refresh(), document.hidden ? 60_000 : soon);
  }

  show() {
    const { images, texts, indexing, failures, warnings } = this.status;
    const button = $("library-button");
    let text = count(images, "picture", "pictures");
    let state = "";
    if (indexing) {
      state = "busy";
      text = `indexing: ${number(indexing.indexed + indexing.unchanged)} of ${number(indexing.seen)}`;
    } else if (warnings.length) {
      state = "warn";
      text += " · see the library";
    } else if (failures) {
      text += ` · ${number(failures)} not read`;
    } else if (texts) {
      text += ` · ${count(texts, "text", "texts")}`;
    }
    button.dataset.state = state;
    $("status-text").textContent = text;
  }
}
