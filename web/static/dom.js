// Given names and values, how do they become elements? Without markup in
// strings, so that nothing a file is called can become part of the page.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties and children; strings become text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the drawings at the top of the page. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that does `click`. */
export const action = (label, click, properties = {}) =>
  make("button", { type: "button", onclick: click, ...properties }, label);

/** A button that asks once more before it does `act`: a second press, while it has the focus, is meant. */
export function sure(label, really, act, properties = {}) {
  const button = action(label, () => {
    if (button.dataset.sure) {
      act();
      return;
    }
    button.dataset.sure = "yes";
    button.textContent = really;
  }, { className: "quiet-button", ...properties });
  const named = button.getAttribute("aria-label");
  button.addEventListener("blur", () => {
    delete button.dataset.sure;
    button.textContent = label;
    if (named) button.setAttribute("aria-label", named);
  });
  // What is read aloud has to change, too.
  button.addEventListener("click", () => { if (button.dataset.sure && named) button.setAttribute("aria-label", `${really} (${named})`); });
  return button;
}

/** A row of a bar chart: words, a bar of `share` (0 to 1), a number. */
export function bar(label, share, number, { muted = false, click, title } = {}) {
  const fill = make("span", { className: "fill" });
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const name = click
    ? make("button", { type: "button", className: "link", onclick: click, title }, label)
    : make("span", { title: title ?? label }, label);
  name.classList.add("name");
  return make("li", { className: muted ? "bar muted" : "bar" },
    name, make("span", { className: "track", "aria-hidden": "true" }, fill),
    make("span", { className: "number" }, number));
}

/** Rows of a description list. */
export const terms = (rows) => rows.flatMap(([name, value]) => [
  make("dt", {}, name), make("dd", {}, ...(Array.isArray(value) ? value : [value]))]);

export const baseName = (path) => path.split(/[\\/]/).pop() || path;

export function folder(path) {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return at > 0 ? path.slice(0, at) : "";
}

export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const number = (n) => n.toLocaleString("en");
export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export const day = (time) => new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });

let fading = 0;

/** Says in a line at the bottom that something was done. */
export function toast(message) {
  const line = $("toast");
  // What lies under an open dialog is neither seen nor read aloud.
  const above = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (line.parentElement !== above) above.append(line);
  line.textContent = message;
  line.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => line.classList.remove("shown"), 4000);
}
