// Given what the person asked for, what is sent, what stands in the address,
// and what do the scores mean?

/** `picture` is an upload: {name, data (base64), address (blob:)}; it stays on this page. */
export function fromAddress() {
  const given = new URLSearchParams(location.search);
  const id = (name) => (/^[0-9a-f]{32}$/i.test(given.get(name) ?? "") ? given.get(name) : null);
  return {
    q: given.get("q") ?? "",
    like: id("like"),
    picture: null,
    kind: given.get("for") === "texts" ? "texts" : "images",
    mode: ["vector", "text"].includes(given.get("mode")) ? given.get("mode") : "",
    open: id("open"),
  };
}

export function toAddress(query) {
  const given = new URLSearchParams();
  if (query.q.trim()) given.set("q", query.q.trim());
  if (query.like) given.set("like", query.like);
  if (query.kind !== "images") given.set("for", query.kind);
  if (query.mode) given.set("mode", query.mode);
  if (query.open) given.set("open", query.open);
  const text = given.toString();
  return text ? `?${text}` : location.pathname;
}

/** Whether there is anything to search for; if not, the page shows what is there. */
export const isEmpty = (query) => !query.q.trim() && !query.like && !query.picture;

export function toRequest(query, offset, k) {
  const parts = [];
  if (query.q.trim()) parts.push({ text: query.q.trim() });
  if (query.picture) parts.push({ image: query.picture.data });
  if (query.like) parts.push({ id: query.like });
  const request = { parts, k, offset, for: query.kind, explain: true };
  if (query.mode) request.mode = query.mode;
  return request;
}

/** One number for how close a hit is: {value, text, meaning}, or null where nothing was compared. */
export function closeness(hit, reply) {
  if (hit.confidence !== null) {
    const text = `${Math.round(hit.confidence * 100)} %`;
    return { value: hit.confidence, text, meaning: "probability that this is what was asked for" };
  }
  if (reply.query.mode === "text") {
    return { value: hit.score, text: hit.score.toFixed(1), meaning: "how well the words fit (BM25)" };
  }
  // One score a part, in the order of the query; BM25 follows, if there is any.
  const cosines = hit.parts.slice(0, reply.query.parts.length);
  const total = cosines.reduce((sum, part) => sum + Math.abs(part.weight), 0);
  if (!total) return null;
  const value = cosines.reduce((sum, part) => sum + part.weight * part.score, 0) / total;
  const meaning = "similarity (cosine): 1 is the same, 0 is unrelated";
  return { value, text: value.toFixed(2), meaning };
}
