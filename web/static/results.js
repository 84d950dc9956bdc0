// Given a query, which entries stand at which places? Results come in pages, in
// any order for a search, one after another for a plain listing.

import { ask } from "./api.js";
import { expression, isEmpty, toRequest } from "./query.js";
import { closeness } from "./words.js";

/** Entries a page. */
export const PAGE = 100;
/** The server pages this deep and no deeper. */
const DEEPEST = 100_000;
/** Without copies, not even that: this many entries in all. */
const DEEPEST_COLLAPSED = 2_000;

/** First pages of the last searches, so that taking a letter back costs nothing. */
const recent = new Map();
const MOST_RECENT = 24;

/** Forgets kept replies: the store has changed. */
export const forget = () => recent.clear();

/** What `query` finds. `likely` is how many entries there probably are, if that is known. */
export function resultsOf(query, likely = null) {
  return isEmpty(query) ? new Listing(query, likely) : new Search(query);
}

class Search {
  constructor(query) {
    this.query = query;
    /** How many there are, as far as is known. */
    this.total = 0;
    /** Of the first page: the server's reply. */
    this.reply = null;
  }

  /** The entries from `offset` on. */
  async page(offset, signal) {
    const body = toRequest(this.query, offset, PAGE);
    const key = offset === 0 && !this.query.picture ? JSON.stringify(body) : null;
    let found = recent.get(key);
    if (!found) {
      found = await ask("/v1/search", { body, signal });
      if (key) {
        recent.set(key, found);
        if (recent.size > MOST_RECENT) recent.delete(recent.keys().next().value);
      }
    }
    const here = offset + found.hits.length;
    if (offset === 0) this.reply = found;
    if (found.hits.length < PAGE) {
      this.total = here;
    } else if (found.query.mode === "text" || found.query.collapse) {
      // How many have the words, or are no copies, only the end tells.
      this.total = Math.max(this.total, here + PAGE);
    } else {
      this.total = found.total_candidates;
    }
    this.total = Math.min(this.total, found.query.collapse ? DEEPEST_COLLAPSED : DEEPEST + PAGE);
    return found.hits.map((hit) => ({
      item: hit,
      rank: hit.rank,
      parts: hit.parts,
      matched: hit.matched ?? [],
      via: hit.via,
      copies: hit.copies ?? 0,
      query: found.query,
      closeness: closeness(hit, found),
      byWords: found.query.mode !== "text" && hit.via.includes("text"),
    }));
  }
}

class Listing {
  constructor(query, likely) {
    this.query = query;
    this.total = likely ?? 0;
    this.likely = likely;
    this.reply = null;
    /** The id after which each page begins. */
    this.after = [null];
    this.walking = Promise.resolve();
  }

  async ask(after, limit, signal) {
    const { kind, filter } = this.query;
    const given = new URLSearchParams({ limit, for: kind });
    if (after) given.set("after", after);
    const wanted = expression(filter);
    if (wanted) given.set("filter", wanted);
    return ask(`/v1/items?${given}`, { signal });
  }

  /** The server lists by ids and not by places: what lies between is walked through, once. */
  async walk(to) {
    while (this.after.length <= to) {
      const first = this.after.length - 1;
      const { items, next } = await this.ask(this.after[first], 1_000);
      for (let at = PAGE; at <= items.length; at += PAGE) {
        if (at < items.length || next) this.after.push(items[at - 1].id);
      }
      if (!next) {
        this.total = first * PAGE + items.length;
        return;
      }
    }
  }

  async page(offset, signal) {
    const place = offset / PAGE;
    if (place >= this.after.length) {
      // One that failed is no reason for the next to fail.
      this.walking = this.walking.catch(() => {}).then(() => this.walk(place));
      await this.walking;
      if (place >= this.after.length) return [];
    }
    const { items, next } = await this.ask(this.after[place], PAGE, signal);
    if (!next) this.total = offset + items.length;
    else {
      this.after[place + 1] = next;
      this.total = Math.max(this.total, offset + PAGE + (this.likely ? 1 : PAGE));
    }
    return items.map((item) => ({ item, closeness: null, parts: [], matched: [], via: [], copies: 0 }));
  }
}
