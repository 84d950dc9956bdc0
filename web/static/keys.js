// Given a key, what does it do? One list for the keyboard and for the help that shows it.

import { $, make } from "./dom.js";

/** [keys, what they do]; the first group is handled where it happens (grid, viewer). */
const HELP = [
  ["Anywhere", [
    ["/", "Go to the search box"],
    ["Esc", "Close, or leave the box"],
    ["f", "Filters"],
    ["v", "Copies, or back to the pictures"],
    ["i", "Library: folders, failures, model"],
    ["n", "Label sets and identities"],
    ["t", "Light, dark, or as the system is"],
    ["?", "This help"],
  ]],
  ["Among pictures", [
    ["← → ↑ ↓", "Move"],
    ["Home End", "To the first, to the last"],
    ["Enter", "Look at it"],
    ["x", "Select (Shift-click: all up to here)"],
    ["l", "Like: more of this"],
    ["d", "Dislike: less of this, and not this again"],
    ["s", "Only similar ones"],
    ["c", "Copy its path"],
    ["o", "Open the file"],
  ]],
  ["In the box", [
    ["-word", "Keep away from it: beach -people"],
    ['-"two words"', "Likewise"],
    ["↓", "To the pictures"],
    ["paste", "A picture to search by"],
  ]],
];

const kbd = (keys) => keys.split(" ").flatMap((key, i) => [i ? " " : "", make("kbd", {}, key)]);

export function showHelp() {
  if (!$("help-lists").childElementCount) {
    $("help-lists").append(...HELP.map(([heading, rows]) => make("section", {},
      make("h3", {}, heading),
      make("dl", {}, ...rows.flatMap(([keys, words]) => [
        make("dt", {}, ...(heading === "In the box" ? [make("kbd", {}, keys)] : kbd(keys))), make("dd", {}, words)])))));
  }
  if (!$("help").open) $("help").showModal();
}

/** `acts` has a function for each key: anywhere(key), entry(key) for the entry that has the
 *  focus or is looked at, step(by) in the viewer. */
export function watchKeys(acts) {
  $("help-button").onclick = showHelp;
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (event.target.closest?.('input:not([type="checkbox"], [type="radio"]), select, textarea')) return;
    // The last one lies above the others: the sheets stand behind the viewer in the page.
    const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
    if (dialog && dialog !== $("viewer")) return;
    const { key } = event;
    let done = false;
    if (key === "?") {
      showHelp();
      done = true;
    } else if (dialog) {
      if (key === "ArrowLeft" || key === "ArrowRight") done = acts.step(key === "ArrowLeft" ? -1 : 1);
      else done = acts.entry(key);
    } else {
      done = acts.anywhere(key) || acts.entry(key);
    }
    if (done) event.preventDefault();
  });
}

const THEMES = ["", "light", "dark"];
const THEME_WORDS = { "": "as the system is", light: "light", dark: "dark" };

/** The button that goes through the themes; returns what does the same. */
export function watchTheme() {
  const root = document.documentElement;
  const button = $("theme");
  const show = () => {
    const now = root.dataset.theme ?? "";
    button.title = `Colours: ${THEME_WORDS[now]}`;
    button.setAttribute("aria-label", button.title);
    for (const one of button.querySelectorAll("[data-for]")) one.toggleAttribute("hidden", one.dataset.for !== now);
  };
  const turn = () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("ekphrasis-theme", next);
      else localStorage.removeItem("ekphrasis-theme");
    } catch { /* storage is off: the choice lives as long as the page */ }
    show();
  };
  button.onclick = turn;
  show();
  return turn;
}
