// Given folders, how are they indexed from here, and how far is it? Jobs of the
// server: the one that runs is followed live, the others are asked for now and then
// (a browser has few connections to a server, and one that is followed holds one).

import { $, action, baseName, count, duration, make, number, toast } from "./dom.js";
import { ask, follow } from "./api.js";

const STATES = { waiting: "waits its turn", running: "running", done: "done", stopped: "stopped", failed: "failed" };
const ACTIONS = { index: "Index", retry: "Try again", remove: "Forget", use: "Move to" };
const SHOWN = 6;
/** Milliseconds until the list is asked for again, while a job has not ended. */
const PACE = 1000;

export class Jobs {
  /** `on` has changed(): a job has begun or ended. */
  constructor(on) {
    this.on = on;
    this.jobs = [];
    this.rows = new Map();
    /** The ids of the rows that are there, in their order. */
    this.drawn = "";
    /** Whether the job that runs is followed. */
    this.follows = false;
    this.timer = null;
    $("j-form").onsubmit = (event) => {
      event.preventDefault();
      const path = $("j-path").value.trim();
      if (path) this.start({ paths: [path] });
    };
    $("j-retry").onclick = () => this.start({ action: "retry" });
  }

  start(order) {
    return this.begin(() => ask("/v1/jobs", { body: order }));
  }

  /** Moves the store to the model of that name. */
  move(model) {
    return this.begin(() => ask(`/v1/models/${encodeURIComponent(model)}/use`, { method: "POST" }));
  }

  async begin(order) {
    $("j-wrong").textContent = "";
    try {
      const job = await order();
      $("j-path").value = "";
      this.draw([job, ...this.jobs]);
      this.on.changed();
    } catch (error) {
      $("j-wrong").textContent = error.message;
    }
    // What was begun elsewhere on the sheet is told here.
    $("j-list").scrollIntoView({ block: "nearest" });
  }

  /** Asks which jobs there are, and follows the one that runs. */
  async refresh() {
    try {
      const { jobs } = await ask("/v1/jobs");
      this.draw(jobs);
    } catch (error) {
      $("j-wrong").textContent = error.message;
    }
  }

  draw(jobs) {
    const open = new Set(this.jobs.filter((job) => !job.ended).map((job) => job.id));
    this.jobs = jobs;
    const shown = jobs.slice(0, SHOWN);
    const ids = shown.map((job) => job.id).join(" ");
    // The same rows stay, and what has the focus in them keeps it.
    if (ids !== this.drawn) {
      this.drawn = ids;
      this.rows = new Map(shown.map((job) => [job.id, make("li", { className: "job" })]));
      $("j-list").replaceChildren(...this.rows.values());
    }
    for (const job of shown) this.update(job);
    if (jobs.some((job) => job.ended && open.has(job.id))) this.on.changed();
    const running = jobs.find((job) => job.state === "running");
    if (running) this.follow(running.id);
    if (jobs.some((job) => !job.ended)) this.later();
  }

  /** Asks again in a moment. */
  later() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.refresh();
    }, PACE);
  }

  async follow(id) {
    if (this.follows) return;
    this.follows = true;
    try {
      await follow(`/v1/jobs/${id}/events`, (job) => this.update(job));
    } catch { /* the status line says whether the server is there */ }
    this.follows = false;
    this.on.changed();
    // The next one may run by now.
    this.later();
  }

  update(job) {
    const row = this.rows.get(job.id);
    const at = this.jobs.findIndex((one) => one.id === job.id);
    if (at >= 0) this.jobs[at] = job;
    if (!row) return;
    const what = job.model ?? (job.paths.length === 1 ? baseName(job.paths[0]) : job.paths.length ? count(job.paths.length, "path", "paths") : "whatever failed");
    const { progress } = job;
    const words = [];
    let bar = null;
    if (job.state === "running" && progress) {
      const { seen, indexed, unchanged, failed, waiting, eta_seconds: eta } = progress;
      words.push(`${number(indexed)} new, ${number(unchanged)} known, ${number(failed)} failed${eta === null ? "" : `, about ${duration(eta)} to go`}`);
      const [done, all] = job.model ? [seen, seen + waiting] : [Math.max(0, seen - waiting), seen];
      bar = make("progress", { max: Math.max(1, all), value: done, "aria-label": `Progress of ${what}` });
      if (job.file) words.push(baseName(job.file));
    } else if (job.result?.report) {
      const { seen, indexed, unchanged, removed, failed, seconds } = job.result.report;
      words.push(`${count(seen, "file", "files")}: ${number(indexed)} new, ${number(unchanged)} known, ${number(removed)} gone, ${number(failed)} failed, in ${duration(seconds)}`);
    } else if (job.result?.used) {
      const { outcome, report, missing_count: missing } = job.result.used;
      if (outcome === "variant") words.push("of the store's own space: nothing had to be embedded");
      else words.push(`${outcome.replace("_", " ")}: ${number(report.indexed)} embedded${missing ? `, ${number(missing)} would be lost` : ""}`);
    } else if (job.result?.removed !== null && job.result) {
      words.push(`${count(job.result.removed, "item", "items")} forgotten`);
    }
    if (job.error) words.push(job.error);
    const stop = job.ended ? null : action("Stop", async () => {
      try {
        this.update(await ask(`/v1/jobs/${job.id}`, { method: "DELETE" }));
      } catch (error) {
        toast(error.message);
      }
    }, { className: "quiet-button", "aria-label": `Stop: ${what}` });
    const had = row.contains(document.activeElement);
    row.dataset.state = job.state;
    row.replaceChildren(
      make("p", { className: "job-head", title: job.paths.join("\n") }, make("strong", {}, `${ACTIONS[job.action] ?? job.action}: ${what}`),
        make("span", { className: "soft" }, STATES[job.state] ?? job.state), stop),
      ...(bar ? [bar] : []),
      make("p", { className: job.error ? "wrong" : "soft" }, words.join(" · ")));
    if (had) row.querySelector("button")?.focus();
  }
}
