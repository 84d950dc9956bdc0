// Given an item, what does its file tell, and by what of it can one go on searching?

import { day, fileSize, folder, make } from "./dom.js";
import { clause } from "./query.js";
import { exposureWords, takenWords } from "./words.js";

/** Rows [name, value or nodes]; `narrow(expression)` is called for what filters know. */
export function factsOf(item, picture, narrow) {
  const rows = [];
  const meta = item?.meta ?? {};
  const by = (text, expression) => make("button", {
    type: "button", className: "link", title: `Only those: ${expression}`, onclick: () => narrow(expression) }, text);
  if (item?.path) rows.push(["Folder", by(folder(item.path) || "/", clause("path", folder(item.path) || "/"))]);
  if (meta.width) rows.push(["Dimensions", `${meta.width} × ${meta.height}`]);
  const size = picture ? picture.size : meta.size;
  const format = meta.format ? ` ${meta.format.toUpperCase()}` : "";
  if (size !== undefined) rows.push(["Size", `${fileSize(size)}${format}`]);
  if (meta.taken) rows.push(["Taken", by(takenWords(meta.taken), clause("taken", meta.taken.split("T")[0]))]);
  if (meta.camera) rows.push(["Camera", by(meta.camera, clause("camera", meta.camera))]);
  if (meta.lens) rows.push(["Lens", by(meta.lens, clause("lens", meta.lens))]);
  const exposure = meta.exposure && exposureWords(meta.exposure);
  if (exposure) rows.push(["Exposure", exposure]);
  if (meta.latitude !== undefined) {
    const place = `${meta.latitude.toFixed(4)}, ${meta.longitude.toFixed(4)}`;
    rows.push(["Place", by(place, clause("near", `${meta.latitude.toFixed(5)},${meta.longitude.toFixed(5)},5km`))]);
  }
  const each = (values, field) => values.flatMap((value, i) => [i ? ", " : "", by(value, clause(field, value))]);
  const tags = [...new Set([...(meta.tags ?? []), ...(meta.keywords ?? [])])];
  if (tags.length) rows.push(["Tags", each(tags, "tag")]);
  const labels = [...new Set([...(meta.labels ?? []), ...(meta.given_labels ?? []).map((one) => one.label)])];
  if (labels.length) rows.push(["Labels", each(labels, "label")]);
  if (meta.colors?.length) rows.push(["Colours", each(meta.colors, "color")]);
  for (const text of meta.texts ?? []) rows.push(["Says", text]);
  if (meta.modified) rows.push(["Changed", day(meta.modified)]);
  if (picture) rows.push(["", "Only looked at for the search; it is not kept."]);
  return rows;
}
