// Given openapi.json, how does a person read it and try it? One block for each
// operation, with a form; nothing is fetched from elsewhere.

const make = (name, content = "", attributes = {}) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of [content].flat()) element.append(child);
  return element;
};

let description = {};

/** The key that was given on the page of pictures in this tab, for a server that needs one. */
const key = () => {
  try {
    return sessionStorage.getItem("ekphrasis-key") ?? "";
  } catch {
    return "";
  }
};

/** What goes with every request. */
const headers = () => (key() ? { authorization: `Bearer ${key()}` } : {});

/** What a reference stands for. */
const resolve = (schema) => {
  if (!schema?.$ref) return schema ?? {};
  const path = schema.$ref.slice(2).split("/");
  return path.reduce((found, name) => found?.[name], description) ?? {};
};

/** A type in words: `string`, `list of Hit`, `integer or null`. */
const typeOf = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const either = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (either) return either.map(typeOf).join(schema.allOf ? " and " : " or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [schema.type ?? "anything"].flat();
  return types.map((type) => (type === "array" ? `list of ${typeOf(schema.items ?? {})}` : type)).join(" or ");
};

/** What has to hold beside the type. */
const bounds = (schema) => {
  const found = [];
  for (const [key, words] of [["minimum", "from"], ["maximum", "to"], ["minLength", "at least this many characters:"],
    ["maxLength", "at most this many characters:"], ["minItems", "at least this many:"], ["maxItems", "at most this many:"],
    ["default", "if nothing is said:"]]) {
    if (schema[key] !== undefined) found.push(`${words} ${schema[key]}`);
  }
  return found.join(", ");
};

/** All fields of a type, each with what it is; types within are opened below it. */
const fields = (schema, seen = []) => {
  const name = schema.$ref?.split("/").pop();
  const whole = resolve(schema);
  const list = make("dl");
  const inner = new Map();
  const parts = [whole, ...(whole.allOf ?? []).map(resolve)];
  for (const part of parts) {
    for (const [field, property] of Object.entries(part.properties ?? {})) {
      const needed = (part.required ?? []).includes(field) ? "" : ", may be left out";
      const limits = bounds(property);
      list.append(make("dt", make("code", field)));
      list.append(make("dd", `${property.description ?? ""} (${typeOf(property)}${needed}${limits ? `; ${limits}` : ""})`));
      for (const option of [property, property.items ?? {}, ...(property.oneOf ?? []), ...(property.items?.oneOf ?? [])]) {
        const other = option.$ref?.split("/").pop();
        if (other && other !== name && !seen.includes(other)) inner.set(other, option);
      }
    }
  }
  const result = [list];
  for (const [other, option] of inner) {
    result.push(make("details", [make("summary", other), ...fields(option, [...seen, name, other])]));
  }
  return result;
};

/** Stands for a picture of the store in examples. */
const SOME_ID = "0123456789abcdef0123456789abcdef";
let someId = null;

/** Puts a picture that is there in its place, so that what is shown can be sent as it is. */
const withRealId = async (body) => {
  if (!body.value.includes(SOME_ID)) return;
  someId ??= fetch("v1/items?limit=1&for=images", { headers: headers() })
    .then((reply) => reply.json()).then(({ items }) => items?.[0]?.id).catch(() => undefined);
  const id = await someId;
  if (id) body.value = body.value.replaceAll(SOME_ID, id);
};

/** JSON to begin with: the fields that are needed, or the first. */
const example = (schema) => {
  const whole = resolve(schema);
  const all = Object.keys(whole.properties ?? {});
  const wanted = whole.required?.length ? ["id", ...whole.required].filter((field) => all.includes(field)) : all.slice(0, 1);
  const value = (property) => ([property.type].flat().includes("array") ? ["", ""] : "");
  return JSON.stringify(Object.fromEntries(wanted.map((field) => [field, value(whole.properties[field])])), null, 2);
};

const show = async (reply, place) => {
  const kind = reply.headers.get("content-type") ?? "";
  place.replaceChildren(make("p", `${reply.status} ${reply.statusText} ${kind}`));
  if (kind.startsWith("image/")) {
    place.append(make("img", "", { src: URL.createObjectURL(await reply.blob()), alt: "The answer" }));
    return;
  }
  let text = await reply.text();
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* it is no JSON: shown as it is */ }
  place.append(make("pre", text, { tabindex: "0" }));
};

const tryIt = (path, method, operation) => {
  const form = make("form");
  const inputs = [];
  for (const parameter of operation.parameters ?? []) {
    const input = make("input", "", { name: parameter.name, autocomplete: "off", value: parameter.schema?.examples?.[0] ?? "" });
    inputs.push([parameter, input]);
    const about = parameter.description ? `: ${parameter.description}` : "";
    const limits = bounds(parameter.schema ?? {});
    form.append(make("label", [make("code", parameter.name), `${about} (${typeOf(parameter.schema ?? {})}${limits ? `; ${limits}` : ""})`, input]));
  }
  const { schema, example: given } = operation.requestBody?.content?.["application/json"] ?? {};
  const begin = given ? JSON.stringify(given, null, 2) : schema ? example(schema) : "";
  const body = make("textarea", begin, { "aria-label": "Body as JSON", spellcheck: "false" });
  if (schema) form.append(make("h3", "Body"), ...fields(schema), body);
  withRealId(body);
  const answer = make("div", "", { "aria-live": "polite" });
  form.append(make("button", "Send", { type: "submit" }), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let address = path;
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") query.append(parameter.name, input.value);
    }
    const options = { method, headers: headers() };
    if (schema) {
      options.body = body.value;
      options.headers["content-type"] = "application/json";
    }
    answer.textContent = "…";
    try {
      await show(await fetch(query.size ? `${address}?${query}` : address, options), answer);
    } catch (error) {
      answer.textContent = `The server does not answer: ${error.message}`;
    }
  });
  return form;
};

const block = (path, method, operation) => {
  const head = make("summary", [make("span", method, { class: "method" }), make("code", path), ` ${operation.summary ?? ""}`]);
  const details = make("details", head);
  // Made when it is first opened: there are many.
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    if (operation.description) details.append(make("p", operation.description));
    details.append(tryIt(path, method, operation));
    for (const [status, reply] of Object.entries(operation.responses ?? {})) {
      const schema = reply.content?.["application/json"]?.schema;
      details.append(make("h3", `${status === "default" ? "Otherwise" : status}: ${reply.description}`));
      if (schema) details.append(...fields(schema));
    }
  });
  return details;
};

const start = async () => {
  const state = document.getElementById("state");
  try {
    const reply = await fetch("openapi.json", { headers: headers() });
    if (reply.status === 401) {
      const page = make("a", "page of pictures", { href: "./" });
      state.replaceChildren("This server needs its key. Enter it on the ", page, ", then come back here in the same tab.");
      return;
    }
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    description = await reply.json();
  } catch (error) {
    state.textContent = `The description cannot be read: ${error.message}`;
    return;
  }
  document.getElementById("about").textContent = description.info.description;
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags?.[0] ?? "";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(block(path, method.toUpperCase(), operation));
    }
  }
  state.remove();
  const place = document.getElementById("operations");
  for (const [tag, blocks] of groups) place.append(make("section", [make("h2", tag), ...blocks]));
};

start();
