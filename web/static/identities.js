// Given pictures of one person, animal or thing, how is it enrolled, and how is it forgotten?

import { $, count, make, sure, toast } from "./dom.js";
import { ask } from "./api.js";
import { Examples, itemsAt, notTakenWords, outdated, shownExamples } from "./examples.js";

export const identityPath = (name) => `/v1/identities/${encodeURIComponent(name)}`;

/** Enrols under `name`, beside what is known of it; says so. */
export async function enrol(name, fields) {
  const made = await ask(identityPath(name), { method: "PUT", body: { ...fields, add: true } });
  const n = made.examples.length;
  const left = notTakenWords(made.not_taken);
  toast([made.added ? `${made.name} is known by ${count(n, "picture", "pictures")} now.` : `That was known of ${made.name} already.`, left].filter(Boolean).join(" "));
  return made;
}

export class Identities {
  /** `on` as in names.js. */
  constructor(on) {
    this.on = on;
    this.examples = new Examples({ selected: on.selected });
    $("n-enrol-examples").append(this.examples.element);
    $("n-enrol").onsubmit = (event) => {
      event.preventDefault();
      this.enrol();
    };
  }

  opened() {
    this.examples.refresh();
  }

  take(files) {
    this.examples.take(files);
  }

  begin(items) {
    this.examples.clear();
    this.examples.addItems(items);
    $("n-enrol-name").focus();
  }

  async enrol() {
    const name = $("n-enrol-name").value.trim();
    this.on.tell("");
    if (!name) {
      $("n-enrol-name").focus();
      return;
    }
    if (this.examples.isEmpty) {
      this.on.tell("Give at least one picture to know it by.");
      return;
    }
    $("n-enrol-button").disabled = true;
    try {
      await enrol(name, this.examples.fields);
      $("n-enrol-name").value = "";
      this.examples.clear();
      await this.on.known();
      $("n-enrol-name").focus();
    } catch (error) {
      this.on.tell(error.message);
    }
    $("n-enrol-button").disabled = false;
  }

  async draw(identities) {
    // What did not change stays as it is, and keeps the focus.
    const drawn = JSON.stringify(identities);
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    $("n-no-identities").hidden = identities.length > 0;
    $("n-known-names").replaceChildren(...identities.map(({ name }) => make("option", { value: name })));
    const items = await itemsAt(identities.flatMap(({ examples }) => examples.slice(0, 12).map(({ source }) => source)));
    if (this.drawn !== drawn) return;
    $("n-list").replaceChildren(...identities.map((one) => this.row(one, items)));
  }

  row({ name, examples, comparable }, items) {
    const here = examples.map(({ source }) => items.get(source)?.id).filter(Boolean);
    const forget = sure("Forget", "Really forget?", async () => {
      try {
        await ask(identityPath(name), { method: "DELETE" });
        toast(`${name} is forgotten; no picture was touched.`);
      } catch (error) {
        this.on.tell(error.message);
      }
      await this.on.known();
      $("n-enrol-name").focus();
    }, { "aria-label": `Forget ${name}` });
    return make("li", { className: "named" },
      make("div", { className: "named-head" },
        make("strong", {}, name), make("span", { className: "soft" }, count(examples.length, "picture", "pictures")),
        make("span", { className: "named-actions" },
          here.length ? make("button", {
            type: "button", className: "quiet-button", "aria-label": `Find pictures like ${name}`,
            onclick: () => {
              $("names").close();
              this.on.search({ q: "", like: here.slice(0, 11), dislike: [], picture: null, open: null, view: "" });
            },
          }, "Find") : null,
          make("button", {
            type: "button", className: "quiet-button", "aria-label": `Add pictures of ${name}`,
            onclick: () => {
              $("n-enrol-name").value = name;
              $("n-enrol").scrollIntoView({ block: "nearest" });
              this.examples.element.querySelector("button").focus();
            },
          }, "Add"), forget)),
      comparable ? null : outdated("Forget it and enrol it again."),
      shownExamples(examples, items, this.on.look));
  }
}
