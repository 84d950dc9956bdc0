// Given a question, what does the server say? One place for requests, the key
// and the words for what went wrong.

import { $ } from "./dom.js";

/** What the server (or the way to it) has to say instead of an answer. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
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
        reject(new Problem("Without its key the server shows nothing. Reload the page to enter it.", 401));
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

async function request(path, options) {
  for (;;) {
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
    if (reply.ok) return reply;
    let detail = `The server answered with status ${reply.status}.`;
    try {
      detail = (await reply.json()).detail ?? detail;
    } catch { /* no problem document: the status has to do */ }
    throw new Problem(detail, reply.status);
  }
}

/** GET, or POST when there is a body; the answer's JSON. */
export async function ask(path, { body, signal } = {}) {
  const options = { signal };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  return (await request(path, options)).json();
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

export const thumbnail = (id) => `/v1/items/${id}/thumbnail`;
export const original = (id) => `/v1/items/${id}/file`;
