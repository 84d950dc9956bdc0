// Given a question, what does the server say? One place for requests, the key
// and the words for what went wrong.

import { $ } from "./dom.js";

/** What the server (or the way to it) has to say instead of an answer. */
export class Problem extends Error {
  constructor(message, { status = 0, field = "" } = {}) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

const KEY = "ekphrasis-key";
let key = "";
try {
  key = sessionStorage.getItem(KEY) ?? "";
} catch { /* storage is off: the key lives as long as the page */ }

export const hasKey = () => key !== "";

let asking = null;

/** Asks the person for the key, once however many requests need it. */
function askForKey(wasWrong) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("key");
    $("key-title").textContent = wasWrong ? "That is not the key" : "This server needs its key";
    $("key-value").value = "";
    dialog.returnValue = "cancelled";
    dialog.onclose = () => {
      asking = null;
      const given = $("key-value").value;
      if (dialog.returnValue === "cancelled" || !given) {
        reject(new Problem("Without its key the server shows nothing. Reload the page to enter it.", { status: 401 }));
        return;
      }
      key = given;
      try {
        sessionStorage.setItem(KEY, key);
      } catch { /* as above */ }
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

/** Seconds to wait when the server has too much to do, at most. */
const PATIENCE = 3;

async function request(path, options) {
  for (let tries = 0; ; tries += 1) {
    const used = key;
    const headers = { ...options.headers };
    if (used) headers.authorization = `Bearer ${used}`;
    let reply;
    try {
      reply = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("The server does not answer. Is ek still running?");
    }
    if (reply.status === 401) {
      if (used === key) await askForKey(used !== "");
      continue;
    }
    if (reply.status === 429 && tries < 3) {
      const wait = Math.min(PATIENCE, Number(reply.headers.get("retry-after")) || 1);
      await new Promise((resolve) => { setTimeout(resolve, wait * 1000); });
      continue;
    }
    if (reply.ok) return reply;
    let detail = `The server answered with status ${reply.status}.`;
    let field = "";
    try {
      const problem = await reply.json();
      detail = problem.detail ?? detail;
      field = problem.field ?? "";
    } catch { /* no problem document: the status has to do */ }
    throw new Problem(detail, { status: reply.status, field });
  }
}

/** GET, or POST when there is a body, or `method`; the answer's JSON. */
export async function ask(path, { body, signal, method } = {}) {
  const options = { signal, method };
  if (body !== undefined) {
    options.method ??= "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const reply = await request(path, options);
  return reply.status === 204 ? null : reply.json();
}

/** Calls `on(data)` for every event of a stream (SSE) until it ends. By fetch, since
 *  an EventSource cannot send the key. */
export async function follow(path, on, signal) {
  const reply = await request(path, { signal, headers: { accept: "text/event-stream" } });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r", "");
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (data) on(JSON.parse(data));
    }
  }
}

/** Lets `image` show what lies at `path`; with a key, an <img> cannot fetch it itself. */
export function show(image, path) {
  image.dataset.path = path;
  if (!hasKey()) {
    image.src = path;
    return;
  }
  request(path, {}).then((reply) => reply.blob()).then((blob) => {
    if (image.dataset.path !== path) return;
    const address = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    image.src = address;
  }).catch(() => image.dispatchEvent(new Event("error")));
}

/** Opens the file itself in a tab of its own. */
export async function openFile(id) {
  if (!hasKey()) {
    window.open(original(id), "_blank", "noopener");
    return;
  }
  // A tab cannot send the key either: the file is fetched here and saved.
  const reply = await request(original(id), {});
  const named = /filename\*=UTF-8''([^;]+)/.exec(reply.headers.get("content-disposition") ?? "");
  save(await reply.blob(), named ? decodeURIComponent(named[1]) : id);
}

/** Hands a file to the person. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const thumbnail = (id) => `/v1/items/${id}/thumbnail`;
export const original = (id) => `/v1/items/${id}/file`;
