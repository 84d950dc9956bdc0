// Given names and values, how do they become elements? Without markup in
// strings, so that nothing a file is called can become part of the page.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; strings become text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else if (value !== undefined) element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
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

export const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
