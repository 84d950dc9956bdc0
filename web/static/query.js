// Given what the person asked for, what is sent, and what stands in the address?

export const EMPTY = {
  /** As typed: words, and -words to keep away from. */
  q: "",
  /** An upload: {name, size, data (base64), address (blob:), number}; it stays on this page. */
  picture: null,
  /** Ids of what was liked and disliked: they steer, and what was disliked is not shown. */
  like: [],
  dislike: [],
  /** Conditions, each an expression of its own. */
  filter: [],
  kind: "images",
  mode: "",
  /** One of each group of copies. */
  collapse: false,
  /** Different ones first. */
  diverse: false,
  /** `duplicates`, or "" for the grid. */
  view: "",
  /** The id that is looked at. */
  open: null,
};

/** As many as the server takes of each. */
export const MOST_JUDGED = 100;
/** How much hits differ when different ones come first; as `ek search --diverse`. */
const DIVERSITY = 0.3;

/** Uploads of this page, by number: an address cannot hold them, going back finds them here. */
const uploads = new Map();

export function remember(picture) {
  picture.number = uploads.size + 1;
  uploads.set(picture.number, picture);
}

const ID = /^[0-9a-f]{32}$/i;

export function fromAddress() {
  const given = new URLSearchParams(location.search);
  const ids = (name) => (given.get(name) ?? "").split(",").filter((id) => ID.test(id));
  return {
    ...EMPTY,
    q: given.get("q") ?? "",
    picture: uploads.get(history.state?.picture) ?? null,
    like: ids("like").slice(-MOST_JUDGED),
    dislike: ids("dislike").slice(-MOST_JUDGED),
    filter: given.getAll("filter").filter((one) => one.trim()),
    kind: given.get("for") === "texts" ? "texts" : "images",
    mode: ["vector", "text"].includes(given.get("mode")) ? given.get("mode") : "",
    collapse: given.get("copies") === "one",
    diverse: given.get("order") === "different",
    view: given.get("view") === "duplicates" ? "duplicates" : "",
    open: ids("open")[0] ?? null,
  };
}

export function toAddress(query) {
  const given = new URLSearchParams();
  if (query.q.trim()) given.set("q", query.q.trim());
  if (query.like.length) given.set("like", query.like.join(","));
  if (query.dislike.length) given.set("dislike", query.dislike.join(","));
  for (const one of query.filter) given.append("filter", one);
  if (query.kind !== "images") given.set("for", query.kind);
  if (query.mode) given.set("mode", query.mode);
  if (query.collapse) given.set("copies", "one");
  if (query.diverse) given.set("order", "different");
  if (query.view) given.set("view", query.view);
  if (query.open) given.set("open", query.open);
  // Ids read better with plain commas, and commas need no escape.
  const text = given.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : location.pathname;
}

/** What of the typed words is looked for, and what is kept away from: `a beach -people -"red car"`. */
export function readWords(typed) {
  const without = [];
  const words = typed.replace(/(^|\s)-(?:"([^"]*)(?:"|$)|([^\s"-]\S*))/g, (_, before, quoted, plain) => {
    const found = (quoted ?? plain).trim();
    if (found) without.push(found);
    return before;
  });
  return { words: words.replace(/\s+/g, " ").trim(), without };
}

/** The typed words without one of the things to keep away from. */
export function dropWithout(typed, gone) {
  const { words, without } = readWords(typed);
  return writeWords(words, without.filter((one) => one !== gone));
}

export const writeWords = (words, without) =>
  [words, ...without.map((one) => (/\s/.test(one) ? `-"${one}"` : `-${one}`))].filter(Boolean).join(" ");

/** What the server takes in one search. */
const MOST_PARTS = 32;

/** The parts of the search. What is kept away from needs something that is looked for. */
export function partsOf(query) {
  const { words, without } = readWords(query.q);
  const parts = [];
  if (words) parts.push({ text: words, weight: 1 });
  if (query.picture) parts.push({ image: query.picture.data, weight: 1 });
  if (parts.length) parts.push(...without.slice(0, MOST_PARTS - parts.length).map((text) => ({ text, weight: -0.5 })));
  return parts;
}

/** Whether there is anything to search for; if not, the page shows what is there. */
export const isEmpty = (query) => !readWords(query.q).words && !query.like.length && !query.picture;

export function toRequest(query, offset, k) {
  const request = {
    parts: partsOf(query), liked: query.like, disliked: query.dislike, k, offset, for: query.kind, explain: true };
  if (query.mode) request.mode = query.mode;
  if (query.collapse) request.collapse = true;
  if (query.diverse) request.diversity = DIVERSITY;
  const filter = expression(query.filter);
  if (filter) request.filter = filter;
  return request;
}

// ---- filters ---------------------------------------------------------------

const CLAUSE = /^(-?)([a-z]+):("(?:[^"\\]|\\.)*"|[^\s()"]+)$/;

/** A condition as the server reads it. */
export const clause = (field, value) =>
  `${field}:${/[\s()"]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value}`;

/** {not, field, value}, or null for what was written by hand and is more than one condition. */
export function readClause(text) {
  const found = CLAUSE.exec(text.trim());
  if (!found) return null;
  const [, not, field, value] = found;
  const plain = value.startsWith('"') ? value.slice(1, -1).replace(/\\(["\\])/g, "$1") : value;
  return { not: not === "-", field, value: plain };
}

/** All conditions as one expression: of one field any, of different fields each. */
export function expression(filter) {
  const byField = new Map();
  const all = [];
  for (const one of filter) {
    const read = readClause(one);
    if (!read) {
      all.push(`(${one})`);
    } else if (read.not) {
      all.push(one.trim());
    } else {
      if (!byField.has(read.field)) byField.set(read.field, []);
      byField.get(read.field).push(one.trim());
    }
  }
  for (const any of byField.values()) all.push(any.length > 1 ? `(${any.join(" or ")})` : any[0]);
  return all.join(" ");
}
