// Given what the person does, what is shown? This file holds the page's state
// and joins the parts: search box, grid, viewer, status.

import { $, baseName, count, make } from "./dom.js";
import { ask, show, thumbnail } from "./api.js";
import { Grid } from "./grid.js";
import { Viewer } from "./viewer.js";
import { closeness, fromAddress, isEmpty, toAddress, toRequest } from "./query.js";

const PAGE = 60;
const PICTURE_LIMIT = 20 * 1024 * 1024;
/** The server pages this deep and no deeper. */
const DEEPEST = 100_000;

let query = fromAddress();
let status = null;
let running = null;
let reply = null;
let next = null; // {offset} or {after}: where the grid goes on; null at the end
let loadingMore = false;
let opened = -1;

const grid = new Grid($("grid"), (index) => open(index));
const viewer = new Viewer({
  like: ({ item }) => change({ q: "", like: item.id, picture: null, open: null }, { push: true }),
  search: (words) => change({ q: words, like: null, picture: null, open: null }, { push: true }),
  step: (by) => { if (opened >= 0 && grid.entries[opened + by]) open(opened + by); },
  closed: () => {
    if (opened >= 0) grid.focus(opened);
    opened = -1;
    if (query.open) change({ open: null }, { keepResults: true });
  },
});

// ---- state -----------------------------------------------------------------

/** Takes over `changes`, then the address, the box and the results follow. */
function change(changes, { push = false, keepResults = false } = {}) {
  query = { ...query, ...changes };
  const address = toAddress(query);
  if (push) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  reflect();
  if (!query.open && viewer.isOpen && !keepResults) viewer.dialog.close();
  if (!keepResults) run();
}

function reflect() {
  if ($("q").value.trim() !== query.q.trim()) $("q").value = query.q;
  $("mode").value = query.mode;
  for (const radio of document.querySelectorAll('input[name="for"]')) radio.checked = radio.value === query.kind;
  const chip = query.picture || query.like;
  $("chip").hidden = !chip;
  if (query.picture) {
    $("chip-image").dataset.path = "";
    $("chip-image").src = query.picture.address;
    $("chip-name").textContent = query.picture.name;
    $("chip-open").setAttribute("aria-label", `Look at ${query.picture.name}`);
  } else if (query.like && $("chip-image").dataset.path !== thumbnail(query.like)) {
    show($("chip-image"), thumbnail(query.like));
    $("chip-name").textContent = "like this";
    $("chip-open").setAttribute("aria-label", "Look at the picture");
  }
  const subject = query.q.trim() || (query.picture ? query.picture.name : query.like ? "More like this" : "");
  document.title = subject ? `${subject} · Ekphrasis` : "Ekphrasis";
}

// ---- searching -------------------------------------------------------------

const entryOf = (item) => ({ item, closeness: null });
const entryOfHit = (from) => (hit) => ({
  item: hit,
  parts: hit.parts,
  query: from.query,
  closeness: closeness(hit, from),
  byWords: from.query.mode !== "text" && hit.via.includes("text"),
});

/** Shows the results of `query`; a run that was overtaken by another is dropped. */
async function run() {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const { signal } = mine;
  const asked = query;
  const late = setTimeout(() => $("box").classList.add("busy"), 150);
  try {
    let entries;
    if (isEmpty(asked)) {
      reply = null;
      const listed = await ask(`/v1/items?limit=${PAGE}&for=${asked.kind}`, { signal });
      entries = listed.items.map(entryOf);
      next = listed.next && { after: listed.next };
    } else {
      const found = await ask("/v1/search", { body: toRequest(asked, 0, PAGE), signal });
      reply = found;
      entries = found.hits.map(entryOfHit(found));
      next = entries.length === PAGE ? { offset: PAGE } : null;
    }
    if (running !== mine) return;
    tell("");
    grid.show(entries);
    summarise(entries.length);
    if (asked.open && !viewer.isOpen) openById(asked.open);
    fill();
  } catch (error) {
    if (error.name === "AbortError" || running !== mine) return;
    next = null;
    grid.show([]);
    $("summary").textContent = "";
    $("empty").hidden = true;
    tell(error.message);
  } finally {
    clearTimeout(late);
    if (running === mine) $("box").classList.remove("busy");
  }
}

async function more() {
  if (!next || loadingMore) return;
  loadingMore = true;
  const [mine, from, asked] = [running, next, query];
  try {
    let entries;
    let then;
    if (from.after) {
      const listed = await ask(`/v1/items?limit=${PAGE}&for=${asked.kind}&after=${from.after}`);
      entries = listed.items.map(entryOf);
      then = listed.next && { after: listed.next };
    } else {
      const found = await ask("/v1/search", { body: toRequest(asked, from.offset, PAGE) });
      entries = found.hits.map(entryOfHit(found));
      const offset = from.offset + PAGE;
      then = entries.length === PAGE && offset <= DEEPEST ? { offset } : null;
    }
    if (running !== mine) return;
    next = then;
    grid.show(entries, true);
  } catch (error) {
    if (running === mine) {
      next = null;
      tell(error.message);
    }
  } finally {
    loadingMore = false;
  }
  fill();
}

/** Goes on until the end of the grid is out of sight. */
function fill() {
  if (next && $("end").getBoundingClientRect().top < innerHeight + 600) more();
}

function summarise(shown) {
  const noun = (n) => (query.kind === "texts" ? count(n, "text", "texts") : count(n, "picture", "pictures"));
  const summary = $("summary");
  if (!reply) {
    const total = status && (query.kind === "texts" ? status.texts : status.images);
    summary.textContent = shown && total !== null ? noun(Math.max(total, shown)) : "";
  } else if (shown) {
    const what = [];
    if (query.q.trim()) what.push(`“${query.q.trim()}”`);
    if (query.picture) what.push("your picture");
    if (query.like) what.push("this picture");
    summary.replaceChildren(`Nearest to ${what.join(" and ")} `,
      make("span", { className: "quiet" }, `out of ${noun(reply.total_candidates)}, in ${Math.max(1, Math.round(reply.took_ms))} ms`));
  } else {
    summary.textContent = "";
  }
  nothing(shown);
}

/** Plain words where there is nothing to see. */
function nothing(shown) {
  const empty = $("empty");
  empty.hidden = shown > 0;
  if (shown) return;
  const total = status ? status.images + status.texts : 0;
  let lines;
  if (!total && status?.indexing) {
    lines = ["Looking at your pictures…", "The first ones appear here in a moment."];
  } else if (!total) {
    lines = ["There is nothing here yet.", "Index a folder: ek index ~/Pictures"];
  } else if (query.mode === "text") {
    lines = ["No name or caption has these words.", "Compare by meaning instead: it looks at the pictures themselves."];
  } else {
    lines = ["Nothing was found.", query.kind === "texts" ? "There are no texts in the index." : "There are no pictures in the index."];
  }
  empty.replaceChildren(make("p", { className: "big" }, lines[0]), make("p", {}, lines[1]));
}

function tell(message) {
  $("alert").hidden = !message;
  $("alert").textContent = message;
}

// ---- one entry -------------------------------------------------------------

function open(index) {
  const entry = grid.entries[index];
  if (!entry) return;
  opened = index;
  viewer.open(entry, { previous: index > 0, next: index < grid.entries.length - 1 });
  change({ open: entry.item.id }, { keepResults: true });
  if (index > grid.entries.length - 5) more();
}

async function openById(id) {
  const index = grid.entries.findIndex((entry) => entry.item.id === id);
  if (index >= 0) {
    open(index);
    return;
  }
  try {
    const item = await ask(`/v1/items/${id}`);
    if (query.open === id) viewer.open({ item }, {});
  } catch (error) {
    tell(error.message);
    change({ open: null }, { keepResults: true });
  }
}

// ---- pictures from outside -------------------------------------------------

async function take(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) {
    tell(`${file.name || "That"} is not a picture.`);
    return;
  }
  if (file.size > PICTURE_LIMIT) {
    tell(`${file.name} is too large to search by: 20 MB at most.`);
    return;
  }
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  }).catch(() => null);
  if (address === null) {
    tell(`${file.name} cannot be read.`);
    return;
  }
  if (query.picture) URL.revokeObjectURL(query.picture.address);
  const picture = {
    name: file.name || "pasted picture",
    size: file.size,
    data: address.slice(address.indexOf(",") + 1),
    address: URL.createObjectURL(file),
  };
  change({ picture, like: null, open: null }, { push: true });
}

$("pick").onclick = () => $("file").click();
$("file").onchange = () => {
  take($("file").files[0]);
  $("file").value = "";
};
$("chip-drop").onclick = () => {
  change({ picture: null, like: null }, { push: true });
  $("q").focus();
};
$("chip-open").onclick = () => {
  if (query.picture) viewer.open({ picture: query.picture }, {});
  else if (query.like) openById(query.like), change({ open: query.like }, { keepResults: true });
};
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
  if (file) {
    event.preventDefault();
    take(file);
  }
});
let inside = 0;
const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  inside += 1;
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  inside = Math.max(0, inside - 1);
  $("drop").hidden = inside === 0;
});
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  inside = 0;
  $("drop").hidden = true;
  if (!carriesFiles(event)) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

// ---- box and keys ----------------------------------------------------------

let typing = 0;
$("q").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ q: $("q").value, open: null }), 180);
});
$("form").onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(typing);
  change({ q: $("q").value, open: null }, { push: true });
};
$("mode").onchange = () => change({ mode: $("mode").value }, { push: true });
$("kinds").onchange = (event) => change({ kind: event.target.value }, { push: true });
$("home").onclick = (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  change({ q: "", like: null, picture: null, open: null, mode: "", kind: "images" }, { push: true });
  scrollTo(0, 0);
};
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const typed = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !typed && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("q").focus();
    $("q").select();
  } else if (event.target === $("q") && event.key === "ArrowDown") {
    if (grid.focus(0)) event.preventDefault();
  } else if (event.target === $("q") && event.key === "Escape" && !$("q").value) {
    $("q").blur();
  }
});
addEventListener("popstate", () => {
  const { picture } = query;
  query = fromAddress();
  // An upload is in no address; going back leaves it behind.
  if (picture) URL.revokeObjectURL(picture.address);
  reflect();
  if (!query.open && viewer.isOpen) viewer.dialog.close();
  run();
});
new IntersectionObserver(() => fill(), { rootMargin: "600px" }).observe($("end"));

// ---- status ----------------------------------------------------------------

let due = 0;

async function refresh() {
  clearTimeout(due);
  try {
    const before = status;
    status = await ask("/v1/status");
    showStatus();
    const grew = !before || before.images !== status.images || before.texts !== status.texts;
    // Someone who looks at the start of the listing sees it fill.
    if (before && grew && isEmpty(query) && !viewer.isOpen && scrollY < 200 && grid.entries.length < PAGE) run();
    else if (grew && running && !$("box").classList.contains("busy") && isEmpty(query)) summarise(grid.entries.length);
  } catch (error) {
    $("status").textContent = "not connected";
    if (!status) tell(error.message);
  }
  due = setTimeout(refresh, document.hidden ? 60_000 : status?.indexing ? 1_500 : 15_000);
}

function showStatus() {
  const what = [count(status.images, "picture", "pictures")];
  if (status.texts) what.push(count(status.texts, "text", "texts"));
  what.push(status.model);
  const line = $("status");
  line.replaceChildren(what.join(" · "));
  line.title = `${status.vector_index}; ${status.dim} numbers a vector; ${status.roots.map(baseName).join(", ")}`;
  if (status.indexing) {
    const { seen, indexed } = status.indexing;
    line.append(make("span", { className: "live" }, `indexing: ${seen.toLocaleString("en")} looked at, ${indexed.toLocaleString("en")} new`));
  } else if (status.failures) {
    line.append(make("button", { type: "button", className: "link", onclick: showFailures },
      `${count(status.failures, "file", "files")} could not be read`));
  }
  $("kinds").hidden = !status.texts && query.kind !== "texts";
  $("note").hidden = false;
  $("note").textContent = `${status.model_note} A search always shows what is nearest, even if nothing fits: look at the scores. For more than this, start ek with a larger model: --model FOLDER, as README.md says.`.trim();
}

async function showFailures() {
  try {
    const { failures } = await ask("/v1/failures");
    $("failed-list").replaceChildren(...failures.flatMap(({ path, reason }) => [
      make("dt", {}, path), make("dd", {}, reason)]));
    $("failed").showModal();
  } catch (error) {
    tell(error.message);
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

reflect();
refresh();
run();
if (!query.open && matchMedia("(hover: hover)").matches) $("q").focus();
