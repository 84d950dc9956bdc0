// Given folders, how are they indexed from here, and how far is it? Jobs of the
// server, each followed live while it goes on.

import { $, action, baseName, count, duration, make, number, toast } from "./dom.js";
import { ask, follow } from "./api.js";

const STATES = { waiting: "waits its turn", running: "running", done: "done", stopped: "stopped", failed: "failed" };
const ACTIONS = { index: "Index", retry: "Try again", remove: "Forget" };
const SHOWN = 6;

export class Jobs {
  /** `on` has changed(): a job has begun or ended. */
  constructor(on) {
    this.on = on;
    /** Jobs that are followed, by id. */
    this.followed = new Map();
    this.rows = new Map();
    $("j-form").onsubmit = (event) => {
      event.preventDefault();
      const path = $("j-path").value.trim();
      if (path) this.start({ paths: [path] });
    };
    $("j-retry").onclick = () => this.start({ action: "retry" });
  }

  async start(order) {
    $("j-wrong").textContent = "";
    try {
      const job = await ask("/v1/jobs", { body: order });
      $("j-path").value = "";
      this.draw([job, ...this.jobs ?? []]);
      this.on.changed();
    } catch (error) {
      $("j-wrong").textContent = error.message;
    }
  }

  /** Asks which jobs there are, and follows those that go on. */
  async refresh() {
    try {
      const { jobs } = await ask("/v1/jobs");
      this.draw(jobs);
    } catch (error) {
      $("j-wrong").textContent = error.message;
    }
  }

  draw(jobs) {
    this.jobs = jobs;
    const shown = jobs.slice(0, SHOWN);
    $("j-list").replaceChildren(...shown.map((job) => {
      const row = make("li", { className: "job" });
      this.rows.set(job.id, row);
      this.update(job);
      return row;
    }));
    for (const job of shown) if (!job.ended) this.follow(job.id);
  }

  async follow(id) {
    if (this.followed.has(id)) return;
    const stop = new AbortController();
    this.followed.set(id, stop);
    try {
      await follow(`/v1/jobs/${id}/events`, (job) => this.update(job), stop.signal);
    } catch { /* the status line says whether the server is there */ }
    this.followed.delete(id);
    this.on.changed();
  }

  update(job) {
    const row = this.rows.get(job.id);
    const at = this.jobs.findIndex((one) => one.id === job.id);
    if (at >= 0) this.jobs[at] = job;
    if (!row) return;
    const what = job.paths.length === 1 ? baseName(job.paths[0]) : job.paths.length ? count(job.paths.length, "path", "paths") : "whatever failed";
    const { progress } = job;
    const words = [];
    let bar = null;
    if (job.state === "running" && progress) {
      const { seen, indexed, unchanged, failed, waiting, eta_seconds: eta } = progress;
      words.push(`${number(indexed)} new, ${number(unchanged)} known, ${number(failed)} failed${eta === null ? "" : `, about ${duration(eta)} to go`}`);
      bar = make("progress", { max: Math.max(1, seen), value: Math.max(0, seen - waiting), "aria-label": `Progress of ${what}` });
      if (job.file) words.push(baseName(job.file));
    } else if (job.result?.report) {
      const { seen, indexed, unchanged, removed, failed, seconds } = job.result.report;
      words.push(`${count(seen, "file", "files")}: ${number(indexed)} new, ${number(unchanged)} known, ${number(removed)} gone, ${number(failed)} failed, in ${duration(seconds)}`);
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
