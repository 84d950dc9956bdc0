// Given a picture that is looked at, who or what that is known by examples does it show,
// and how far can that be trusted?

import { $, count, make } from "./dom.js";
import { ask } from "./api.js";
import { enrol } from "./identities.js";
import { falseAcceptWords, oneIn } from "./words.js";

/** A candidate: its score, and where the threshold lies. */
function candidateRow({ name, score, accepted }, threshold) {
  const share = (value) => `${Math.max(0, Math.min(1, value)) * 100}%`;
  const fill = make("span", { className: "fill" });
  fill.style.width = share(score);
  const track = make("span", { className: "track", "aria-hidden": "true" }, fill);
  if (threshold !== null) {
    const mark = make("span", { className: "threshold" });
    mark.style.left = share(threshold);
    track.append(mark);
  }
  return make("li", { className: accepted ? "bar" : "bar muted" },
    make("span", { className: "name", title: name }, name, accepted ? null : make("span", { className: "hidden" }, " (not enough)")),
    track, make("span", { className: "number" }, score.toFixed(2)));
}

/** What a decision is worth: lines of text. */
function worth(operating, enrolled, strangers) {
  if (!operating) return [];
  const lines = [`From a score of ${operating.threshold.toFixed(2)} on it is taken for the same (the mark). ${falseAcceptWords(operating)}`];
  if (strangers !== null && strangers !== undefined && enrolled > 1) {
    lines.push(`Compared with ${enrolled}, a stranger's picture gets some name in at most ${oneIn(strangers)} cases.`);
  }
  if (operating.measured_on) lines.push(`Measured on ${operating.measured_on}. Other kinds of pictures may differ.`);
  return lines;
}

export class Recognising {
  /** `on` has about(path, fields, list, rows), sent() → the fields of the picture that is looked
   *  at, openIdentities(). */
  constructor(on) {
    this.on = on;
    /** Counted up with every picture: an answer of before is late then. */
    this.turn = 0;
    $("v-who").addEventListener("toggle", () => { if ($("v-who").open) this.load(); });
    $("v-enrol").onsubmit = (event) => {
      event.preventDefault();
      this.enrol();
    };
    $("v-verify").onsubmit = (event) => {
      event.preventDefault();
      this.verify();
    };
    $("v-identities").onclick = () => on.openIdentities();
  }

  get isOpen() {
    return $("v-who").open && !$("v-who").hidden;
  }

  /** Another picture is looked at. */
  follow() {
    this.turn += 1;
    $("v-found").replaceChildren();
    $("v-verified").replaceChildren();
    $("v-enrol-name").value = "";
    if (this.isOpen) this.load();
  }

  /** Asks who is known, and who of them it is. */
  async load() {
    if (!this.isOpen) return;
    const mine = this.turn;
    try {
      const { identities } = await ask("/v1/identities");
      if (mine !== this.turn || !this.isOpen) return;
      $("v-known").replaceChildren(...identities.map(({ name }) => make("option", { value: name })));
      const asked = $("v-verify-name").value;
      $("v-verify-name").replaceChildren(...identities.filter((one) => one.comparable).map(({ name }) => make("option", { value: name }, name)));
      if (identities.some(({ name }) => name === asked)) $("v-verify-name").value = asked;
      $("v-verify").hidden = !$("v-verify-name").options.length;
      if (!identities.length) {
        $("v-found").replaceChildren(make("li", { className: "soft" }, "Nobody is enrolled yet. Give this one a name, and other pictures of it are recognised."));
        return;
      }
    } catch (error) {
      $("v-found").replaceChildren(make("li", { className: "wrong" }, error.message));
      return;
    }
    await this.on.about("/v1/identify", { k: 5 }, $("v-found"), (image) => {
      const { name, candidates, operating, enrolled, strangers_named: strangers, not_comparable: left = [] } = image;
      return [
        make("li", { className: "verdict" }, ...(name ? ["Looks like ", make("strong", {}, name)] : ["Nobody who is enrolled"])),
        ...candidates.map((one) => candidateRow(one, operating?.threshold ?? null)),
        ...worth(operating, enrolled, strangers).map((line) => make("li", { className: "soft" }, line)),
        ...(left.length ? [make("li", { className: "wrong" }, `Not compared, since made with another model or damaged: ${left.join(", ")}.`)] : []),
      ];
    });
  }

  /** Is it this one? */
  verify() {
    const name = $("v-verify-name").value;
    if (!name) return;
    this.on.about("/v1/verify", { name }, $("v-verified"), ({ same, score, examples, ...operating }) => [
      make("li", { className: "verdict" }, same ? "Yes, it looks like " : "No, it does not look like ", make("strong", {}, name)),
      candidateRow({ name: `beside ${count(examples, "picture", "pictures")}`, score, accepted: same }, operating.threshold),
      ...worth(operating, 1, null).slice(0, 1).map((line) => make("li", { className: "soft" }, line)),
    ]);
  }

  async enrol() {
    const name = $("v-enrol-name").value.trim();
    const sent = this.on.sent();
    if (!name || !sent) return;
    try {
      await enrol(name, sent);
      $("v-enrol-name").value = "";
      await this.load();
    } catch (error) {
      $("v-found").replaceChildren(make("li", { className: "wrong" }, error.message));
    }
  }
}
