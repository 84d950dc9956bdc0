// Given numbers about a hit, what does a person make of them?

/** How sure, in words; `probability` is calibrated. */
export function sureness(probability) {
  if (probability >= 0.9) return "almost certainly";
  if (probability >= 0.7) return "very likely";
  if (probability >= 0.5) return "likely";
  if (probability >= 0.25) return "perhaps";
  if (probability >= 0.1) return "unlikely";
  return "hardly";
}

/** How close a hit is: {value, text, meaning}, or null where nothing was compared. */
export function closeness(hit, reply) {
  if (typeof hit.confidence === "number") {
    const percent = `${Math.round(hit.confidence * 100)} %`;
    return { value: hit.confidence, text: sureness(hit.confidence), meaning: `This is ${sureness(hit.confidence)} what you asked for (${percent}).` };
  }
  if (reply.query.mode === "text") {
    return { value: hit.score, text: hit.score.toFixed(1), meaning: `How well its words fit: ${hit.score.toFixed(1)} (BM25).` };
  }
  const value = hit.cosine;
  if (typeof value !== "number") return null;
  return { value, text: value.toFixed(2), meaning: `Similarity ${value.toFixed(2)}, from 0 (nothing in common) to 1 (the same).` };
}

/** A share in percent. */
export function percent(p) {
  if (p > 0 && p < 0.001) return "< 0.1 %";
  return `${(p * 100).toFixed((p > 0.995 && p < 1) || p < 0.1 ? 1 : 0)} %`;
}

/** A rate as one says it, never less than it is: `1 in 100`. */
export function oneIn(rate) {
  if (rate > 0.2) return percent(rate);
  const n = 1 / rate * (1 + 1e-9);
  const step = 10 ** Math.max(0, Math.floor(Math.log10(n)) - 1);
  return `1 in ${(Math.floor(n / step) * step).toLocaleString("en")}`;
}

/** How often what is taken for the same is something else, as far as anybody knows. */
export function falseAcceptWords({ false_accept_rate: rate, false_accept_interval: interval }) {
  if (rate === null) return "How often something else scores that much was not measured for this threshold.";
  const between = interval ? ` (95 % sure: at most ${oneIn(interval[1])})` : "";
  return `Something else scores that much in about ${oneIn(rate)} comparisons${between}.`;
}

/** `2019-05-01T12:30:05` as a person writes it, however much of it is known. */
export function takenWords(taken) {
  const [date, time] = taken.split("T");
  const [year, month, ofMonth] = date.split("-");
  if (!month) return year;
  const there = new Date(Date.UTC(Number(year), Number(month) - 1, Number(ofMonth ?? 1)));
  const words = there.toLocaleDateString(undefined, {
    year: "numeric", month: "long", day: ofMonth ? "numeric" : undefined, timeZone: "UTC" });
  return time ? `${words}, ${time.slice(0, 5)}` : words;
}

/** How it was exposed: `1/250 s · f/1.8 · ISO 100 · 35 mm`. */
export function exposureWords({ seconds, aperture, iso, focal_length }) {
  const parts = [];
  if (seconds) parts.push(seconds < 0.5 ? `1/${Math.round(1 / seconds)} s` : `${seconds} s`);
  if (aperture) parts.push(`f/${aperture}`);
  if (iso) parts.push(`ISO ${iso}`);
  if (focal_length) parts.push(`${focal_length} mm`);
  return parts.join(" · ");
}
