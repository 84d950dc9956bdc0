// Given what the person does, what is shown? This file holds the page's state
// and joins the parts: box, chips, filters, grid, viewer, copies, library.

import { $, action, baseName, count, make, toast } from "./dom.js";
import { ask, openFile } from "./api.js";
import { showChips } from "./chips.js";
import { Duplicates } from "./duplicates.js";
import { Facets } from "./facets.js";
import { Grid } from "./grid.js";
import { watchKeys, watchTheme } from "./keys.js";
import { Library } from "./library.js";
import { Names } from "./names.js";
import { watchPictures } from "./pictures.js";
import { EMPTY, MOST_JUDGED, fromAddress, isEmpty, readWords, remember, toAddress } from "./query.js";
import { forget, resultsOf } from "./results.js";
import { MOST, Selection, copyText } from "./selection.js";
import { StatusLine } from "./status.js";
import { forgetPictures, tileOf } from "./tile.js";
import { Viewer } from "./viewer.js";

let query = fromAddress();
let running = null;
/** Where in the grid the viewer is; −1 if it shows something else. */
let opened = -1;
/** Whether looking at it was a step of its own in the history. */
let pushed = false;
/** Counted up with everything that is asked for: a reply of before is late then. */
let turn = 0;

// ---- parts -----------------------------------------------------------------

const marks = (id) => ({
  selected: selection.has(id), selecting: selection.mode, liked: query.like.includes(id), disliked: query.dislike.includes(id) });

const onEntry = {
  open: (entry) => (selection.mode ? onEntry.select(entry) : open(grid.find(entry.item.id))),
  select: (entry, event) => selection.toggle(entry.item, event?.shiftKey ? rangeTo(entry) : null),
  like: ({ item: { id } }) => steer(id, "like", "dislike"),
  dislike: ({ item: { id } }) => steer(id, "dislike", "like"),
  similar: ({ item: { id } }) => search({ q: "", like: [id], dislike: [], picture: null, open: null, view: "" }),
};

const grid = new Grid($("grid"), {
  tile: (entry) => tileOf(entry, marks, onEntry),
  shown: () => { summarise(); if (query.open && !viewer.isOpen) look(query.open); },
  failed: (error) => tell(error.message),
});

const selection = new Selection({
  changed: () => grid.refresh(),
  like: (ids) => {
    search({ like: [...new Set([...query.like, ...ids])].slice(-MOST_JUDGED), dislike: query.dislike.filter((id) => !ids.includes(id)), view: "" });
    selection.clear();
  },
  all: gather,
  name: (items) => names.name(items),
});

const viewer = new Viewer({
  names: () => names,
  state: marks,
  step,
  look: (id) => look(id),
  similar: onEntry.similar,
  like: onEntry.like,
  dislike: onEntry.dislike,
  select: onEntry.select,
  search: (words) => search({ q: words, like: [], dislike: [], picture: null, open: null, view: "" }),
  narrow: (one) => search({ filter: [...new Set([...query.filter, one])], open: null }),
  closed: () => {
    const [was, isStep] = [opened, pushed];
    [opened, pushed] = [-1, false];
    // Something else is asked for already: that decides where the focus goes.
    if (!query.open) return;
    if (was >= 0 && !query.view) grid.focus(was);
    query = { ...query, open: null };
    // Opening was a step of its own: closing takes it back.
    if (isStep) history.back();
    else change({}, { keepResults: true });
  },
});

const names = new Names({
  selected: () => selection.list,
  look: (id) => look(id),
  search: (changes) => search(changes),
  changed: () => viewer.namesChanged(),
});
$("names-button").onclick = () => names.open();

const facets = new Facets({ change: (changes) => search(changes) });
const library = new Library({ changed: () => line.refresh() });
const duplicates = new Duplicates({
  look: (id) => look(id),
  select: (items) => {
    for (const item of items) if (!selection.has(item.id)) selection.toggle(item);
    toast(`${count(selection.items.size, "entry", "entries")} selected: copy or export the list below.`);
  },
  failed: (error) => tell(error.message),
  summary: (text) => { $("summary").textContent = text; },
});

const line = new StatusLine({
  changed: (status, before) => {
    const grew = !before || before.images !== status.images || before.texts !== status.texts || before.seq !== status.seq;
    $("kinds").hidden = !status.texts && query.kind !== "texts";
    library.show(status);
    if (lost) {
      lost = false;
      tell("");
      run();
    } else if (before && grew) {
      forget();
      forgetPictures();
      if (facets.isOpen) facets.load(true);
      // Someone who looks at the start of the listing sees it fill; nobody else is disturbed.
      if (isEmpty(query) && !query.view && !viewer.isOpen && scrollY < 200) run();
    } else if (!before || !grid.total) {
      summarise();
    }
  },
  lost: (error) => {
    lost = true;
    tell(error.message);
  },
  open: () => library.open(),
});
let lost = false;

// ---- state -----------------------------------------------------------------

/** Takes over `changes`, then the address, the box and the results follow. */
function change(changes, { push = false, keepResults = false } = {}) {
  const before = query;
  query = { ...query, ...changes };
  const state = { picture: query.picture?.number ?? null };
  const address = toAddress(query);
  // The same again is no new step to go back from.
  const isStep = address !== (location.search || location.pathname) || query.picture !== before.picture;
  if (push && isStep) history.pushState(state, "", address);
  else history.replaceState(state, "", address);
  reflect();
  if (!query.open && !keepResults) leave();
  if (!keepResults) run();
}

const search = (changes) => change(changes, { push: true });

function steer(id, into, outOf) {
  const there = query[into].includes(id);
  if (!there && into === "dislike") {
    toast(isEmpty(query) ? "Say also what you are looking for: disliking only steers a search."
      : "It is not shown again. What is disliked stands above the pictures: take it out there.");
  }
  change({
    [into]: there ? query[into].filter((other) => other !== id) : [...query[into], id].slice(-MOST_JUDGED),
    [outOf]: query[outOf].filter((other) => other !== id),
    // Looking on while steering: the results change behind the viewer.
  }, { push: true, keepResults: viewer.isOpen });
  if (viewer.isOpen) [steered, pushed] = [true, false];
  grid.refresh();
}
/** Whether the results behind the viewer are those of an older query. */
let steered = false;
$("viewer").addEventListener("close", () => {
  if (steered) run();
  steered = false;
});

function reflect() {
  if ($("q").value.trim() !== query.q.trim()) $("q").value = query.q;
  $("mode").value = query.mode;
  for (const radio of document.querySelectorAll('input[name="for"]')) radio.checked = radio.value === query.kind;
  showChips(query, { change: search, look: ({ id, picture }) => (picture ? viewer.open({ picture }) : look(id)) });
  facets.follow(query);
  $("filters-count").textContent = query.filter.length || "";
  const isCopies = query.view === "duplicates";
  $("copies").setAttribute("aria-pressed", isCopies);
  $("duplicates").hidden = !isCopies;
  $("grid").hidden = isCopies;
  const subject = query.q.trim() || (query.picture ? query.picture.name : query.like.length ? "Similar" : isCopies ? "Copies" : "");
  document.title = subject ? `${subject} · Ekphrasis` : "Ekphrasis";
}

// ---- searching -------------------------------------------------------------

/** Shows the results of `query`; a run that was overtaken by another is dropped. */
async function run() {
  turn += 1;
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const asked = query;
  if (asked.view === "duplicates") {
    for (const id of ["empty", "note"]) $(id).hidden = true;
    $("box").classList.remove("busy");
    $("summary").textContent = "Looking for copies…";
    tell("");
    duplicates.show(asked);
    return;
  }
  duplicates.asked = null;
  const late = setTimeout(() => $("box").classList.add("busy"), 120);
  try {
    const { status } = line;
    const likely = status && !asked.filter.length ? (asked.kind === "texts" ? status.texts : status.images) : null;
    const top = scrollY > 0 && !isSame(asked, shown);
    await grid.show(resultsOf(asked, likely), mine.signal);
    if (running !== mine) return;
    if (top) scrollTo({ top: 0, behavior: "instant" });
    shown = asked;
    tell("");
  } catch (error) {
    if (error.name === "AbortError" || running !== mine) return;
    $("summary").textContent = "";
    $("note").hidden = true;
    tell(error.message);
  } finally {
    clearTimeout(late);
    if (running === mine) $("box").classList.remove("busy");
  }
}
/** The query whose results are in the grid. */
let shown = null;
const isSame = (a, b) => b && toAddress({ ...a, open: null }) === toAddress({ ...b, open: null }) && a.picture === b.picture;

function summarise() {
  const { results } = grid;
  if (!results || query.view) return;
  const asked = results.query;
  const noun = (n) => (asked.kind === "texts" ? count(n, "text", "texts") : count(n, "picture", "pictures"));
  const summary = $("summary");
  const { reply, total } = results;
  const { words, without } = readWords(asked.q);
  if (!total) {
    summary.textContent = "";
  } else if (!reply) {
    summary.textContent = noun(total);
  } else {
    const what = [];
    if (words) what.push(make("q", {}, words));
    if (asked.picture) what.push("your picture");
    if (asked.like.length) what.push(asked.like.length > 1 ? "those pictures" : "that picture");
    summary.replaceChildren("Nearest to ", ...what.flatMap((one, i) => [i ? " and " : "", one]), " ",
      make("span", { className: "soft" }, `${noun(reply.total_candidates)}, ${Math.max(1, Math.round(reply.took_ms))} ms`));
  }
  const notes = [...(reply?.warnings ?? [])];
  if (!reply && without.length) notes.push("Say also what you are looking for: words to keep away from only steer a search.");
  const { anything } = reply ?? {};
  if (total && anything && anything.verdict !== "good") {
    const guessed = anything.calibrated ? "" : " (a guess: this model is not calibrated)";
    notes.unshift(`${anything.words}${anything.verdict === "nothing" ? ": these are only the nearest" : ""}${guessed}.`);
  }
  $("note").hidden = !notes.length;
  $("note").textContent = notes.join(" ");
  nothing(total, asked);
}

/** Plain words where there is nothing to see. */
function nothing(total, asked) {
  const empty = $("empty");
  empty.hidden = total > 0;
  if (total) return;
  const { status } = line;
  const there = status ? status.images + status.texts : 0;
  const lines = [];
  if (!status) {
    empty.hidden = true;
  } else if (!there && status.indexing) {
    lines.push("Looking at your pictures…", "The first ones appear here in a moment.");
  } else if (!there) {
    lines.push("There is nothing here yet.", "In a terminal, say which folder to look at: ek up ~/Pictures",
      action("Open the library", () => library.open(), { className: "primary" }));
  } else if (asked.filter.length) {
    lines.push("Nothing passes these filters.", "Take one of them out.",
      action("Take all filters out", () => search({ filter: [] }), { className: "primary" }));
  } else if (asked.mode === "text") {
    lines.push("No name, caption or tag has these words.", "Compare by meaning instead: it looks at the pictures themselves.",
      action("Compare by meaning", () => search({ mode: "vector" }), { className: "primary" }));
  } else {
    lines.push("Nothing was found.", asked.kind === "texts" ? "There are no texts in the index." : "There are no pictures in the index.");
  }
  empty.replaceChildren(...lines.map((one, i) => (typeof one === "string" ? make("p", { className: i ? "" : "big" }, one) : make("p", {}, one))));
}

function tell(message) {
  $("alert").hidden = !message;
  $("alert").textContent = message;
}

/** All entries of the results, up to MOST; what is shown already is not asked for again. */
async function gather(progress) {
  if (query.view) return duplicates.groups.flatMap((group) => group.items.slice(1));
  const { results } = grid;
  const items = [];
  for (let offset = 0; offset < Math.min(results.total, MOST); offset += 100) {
    const entries = await results.page(offset);
    items.push(...entries.map((entry) => entry.item));
    progress(items.length);
    if (entries.length < 100) break;
  }
  return items;
}

/** The items between the last one that was selected and `entry`, both included. */
function rangeTo(entry) {
  const to = grid.find(entry.item.id);
  const from = grid.find(selection.anchor);
  if (from < 0 || to < 0) return null;
  const items = [];
  for (let at = Math.min(from, to); at <= Math.max(from, to); at += 1) {
    const one = grid.entry(at);
    if (one) items.push(one.item);
  }
  return items;
}

// ---- one entry -------------------------------------------------------------

async function open(index) {
  const mine = turn += 1;
  const entry = await grid.fetch(index).catch((error) => tell(error.message));
  if (!entry || mine !== turn) return;
  opened = index;
  viewer.open(entry, {
    previous: index > 0, next: index < grid.total - 1,
    place: `${(index + 1).toLocaleString("en")} of ${grid.total.toLocaleString("en")}`,
  });
  remain(entry.item.id);
}

/** The address says what is looked at. */
function remain(id) {
  if (query.open === id) return;
  const first = !query.open;
  change({ open: id }, { keepResults: true, push: first });
  if (first) pushed = true;
}

/** Closes the viewer because something else is asked for. */
function leave() {
  turn += 1;
  [opened, pushed] = [-1, false];
  if (viewer.isOpen) viewer.dialog.close();
}

function step(by) {
  if (opened < 0) return false;
  open(opened + by);
  return true;
}

/** Looks at an item that may be in the grid or not. */
async function look(id) {
  const index = query.view ? -1 : grid.find(id);
  if (index >= 0) {
    await open(index);
    return;
  }
  const mine = turn += 1;
  try {
    const item = await ask(`/v1/items/${id}`);
    if (mine !== turn) return;
    opened = -1;
    viewer.open({ item });
    remain(id);
  } catch (error) {
    if (mine !== turn) return;
    tell(error.message);
    if (query.open === id) change({ open: null }, { keepResults: true });
  }
}

// ---- box, keys, going back -------------------------------------------------

watchPictures((picture) => {
  remember(picture);
  search({ picture, open: null, view: "" });
  toast(`Searching by ${picture.name}. Add words to steer it.`);
}, tell);

let typing = 0;
$("q").addEventListener("input", () => {
  clearTimeout(typing);
  // The first letter of a search is a step to go back from, the others refine it.
  typing = setTimeout(() => change({ q: $("q").value, open: null, view: "" }, { push: !query.q.trim() }), 110);
});
$("form").onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search({ q: $("q").value, open: null, view: "" });
};
$("mode").onchange = () => search({ mode: $("mode").value });
$("kinds").onchange = (event) => search({ kind: event.target.value });
$("copies").onclick = () => search({ view: query.view ? "" : "duplicates", open: null });
$("home").onclick = (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  search({ ...EMPTY });
  scrollTo(0, 0);
};
$("q").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && grid.total) {
    event.preventDefault();
    grid.focus(grid.active);
  } else if (event.key === "Escape" && !$("q").value) {
    $("q").blur();
  }
});

/** The entry that keys mean: the one looked at, or the one that has the focus. */
function meant() {
  if (viewer.isOpen) return viewer.subject?.item ? viewer.subject : null;
  const at = grid.indexOf(document.activeElement);
  return at < 0 ? null : grid.entry(at);
}

const turnTheme = watchTheme();
watchKeys({
  step,
  anywhere: (key) => {
    const acts = {
      "/": () => { $("q").focus(); $("q").select(); },
      f: () => $("filters").click(),
      v: () => $("copies").click(),
      i: () => library.open(),
      n: () => names.open(),
      t: turnTheme,
      Escape: () => selection.mode && selection.clear(),
    };
    if (!Object.hasOwn(acts, key)) return false;
    acts[key]();
    return key !== "Escape";
  },
  entry: (key) => {
    const entry = meant();
    const acts = {
      x: () => onEntry.select(entry),
      l: () => onEntry.like(entry),
      d: () => onEntry.dislike(entry),
      s: () => onEntry.similar(entry),
      c: () => entry.item.path && copyText(entry.item.path, `Path of ${baseName(entry.item.path)} copied`),
      o: () => entry.item.path && openFile(entry.item.id),
    };
    if (!entry || !Object.hasOwn(acts, key)) return false;
    acts[key]();
    if (viewer.isOpen) viewer.state();
    return true;
  },
});

addEventListener("popstate", () => {
  const before = query;
  turn += 1;
  query = fromAddress();
  reflect();
  if (!query.open) leave();
  if (isSame(query, before)) {
    if (query.open && viewer.subject?.item?.id !== query.open) look(query.open);
  } else {
    run();
  }
});

reflect();
facets.restore();
// A listing is as long as the store says; a search need not wait for that.
if (isEmpty(query)) line.refresh().then(run);
else {
  line.refresh();
  run();
}
if (!query.open && matchMedia("(hover: hover)").matches) $("q").focus({ preventScroll: true });
