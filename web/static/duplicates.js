// Given the copies in a store, how does one see them side by side and pick out
// those that could go? Nothing here deletes anything.

import { $, action, baseName, count, fileSize, folder, make, number } from "./dom.js";
import { ask, show, thumbnail } from "./api.js";
import { expression } from "./query.js";

const GROUPS = 30;

export class Duplicates {
  /** `on` has look(id), select(items), failed(error), summary(text). */
  constructor(on) {
    this.on = on;
    this.asked = null;
    $("d-exact").onchange = () => this.show(this.query, true);
    $("d-rest").onclick = () => this.selectRest();
    new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) this.more(); }, { rootMargin: "800px" })
      .observe($("d-end"));
  }

  async show(query, again = false) {
    this.query = query;
    const filter = expression(query.filter);
    if (this.asked === filter && !again) return;
    this.asked = filter;
    this.groups = [];
    this.total = Infinity;
    this.run = {};
    $("d-groups").replaceChildren();
    $("d-rest").hidden = true;
    await this.more();
  }

  async more() {
    if (!this.run || this.groups.length >= this.total) return;
    // Who asks while some are on their way waits for those.
    if (this.loading !== this.run) {
      this.loading = this.run;
      this.coming = this.load(this.run);
    }
    await this.coming;
  }

  async load(run) {
    try {
      const given = new URLSearchParams({ limit: GROUPS, offset: this.groups.length });
      if (this.asked) given.set("filter", this.asked);
      if ($("d-exact").checked) given.set("exact", "true");
      const report = await ask(`/v1/duplicates?${given}`);
      if (this.run !== run) return;
      this.total = report.total_groups;
      this.groups.push(...report.groups);
      $("d-groups").append(...report.groups.map((group) => this.group(group)));
      $("d-rest").hidden = !this.total;
      this.on.summary(this.total
        ? `${count(report.copies, "copy", "copies")} in ${count(this.total, "group", "groups")} ${report.copies === 1 ? "takes" : "take"} ${fileSize(report.bytes)} beside the best of each`
        : `No copies among ${count(report.pictures, "picture", "pictures")}`);
    } catch (error) {
      if (this.run === run) this.on.failed(error);
    } finally {
      if (this.loading === run) this.loading = null;
    }
  }

  group({ kind, why, items }) {
    const one = (item, i) => {
      const { meta } = item;
      const name = item.path ? baseName(item.path) : "picture";
      const image = make("img", { alt: "", loading: "lazy", decoding: "async" });
      show(image, thumbnail(item.id));
      return make("li", { className: i ? "copy" : "copy best" },
        make("button", { type: "button", className: "entry", "aria-label": `Look at ${name}`, onclick: () => this.on.look(item.id) }, image),
        make("p", { className: "name", title: item.path ?? undefined }, name),
        make("p", { className: "soft" }, item.path ? folder(item.path) : ""),
        make("p", { className: "soft" }, `${meta.width} × ${meta.height} · ${fileSize(meta.size ?? 0)} ${(meta.format ?? "").toUpperCase()}`),
        make("p", { className: i ? "soft" : "best-word" }, i ? (item.similarity >= 0.99995 ? "identical" : `similarity ${item.similarity.toFixed(3)}`) : `best: ${why}`));
    };
    const rest = items.slice(1);
    return make("li", { className: "group" },
      make("p", { className: "group-head" },
        make("strong", {}, kind === "exact" ? "Identical files" : "Nearly the same"),
        ` ${number(items.length)} pictures `,
        action(`Select all but the best (${rest.length})`, () => this.on.select(rest), { className: "quiet-button" })),
      make("ul", { className: "copies" }, ...items.map(one)));
  }

  async selectRest() {
    while (this.groups.length < this.total && this.groups.length < 2_000) {
      const before = this.groups.length;
      await this.more();
      if (this.groups.length === before) break;
    }
    this.on.select(this.groups.flatMap((group) => group.items.slice(1)));
  }
}
