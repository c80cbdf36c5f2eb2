// The stream of changes (GET /v1/watch): it begins with the present, goes on after a break
// where it was, and begins again when the server says that it cannot go on.
import { request, away, lost, report, fault } from "./api.js";
import { changed, held } from "./token.js";
import { breathe, clock } from "./dom.js";
import { now } from "./clock.js";
import { Store } from "./state.js";
import { Turns } from "./turns.js";

// slice is how long events are taken before the page may draw, in milliseconds.
const slice = 12;
const firstPause = 500, longestPause = 15000;

// refusedPause is when a token that was refused is tried again, in milliseconds: dnsd may have
// been told meanwhile that it is good.
const refusedPause = 30000;

// silence is how long a stream may be silent: dnsd says something every 15 seconds. nap is how
// long a hidden page keeps its stream: a browser has six connections to a server for all tabs.
const silence = 40000, nap = 30000;

// turn is how long a window that takes turns keeps a stream that has told the present, and
// turnPause the time to its next one, in milliseconds.
const turn = 1000, turnPause = 3000;

export class Stream {
  // told gets what a reader should know of the connection: told(text, kind).
  constructor(store, told) {
    this.store = store;
    this.told = told;
    this.last = "";
    this.listeners = [];
    this.wake = () => {};
    this.turns = new Turns(() => { this.over = true; this.abort?.abort(); });
    changed(() => { this.last = ""; this.refused = null; this.over = false; this.abort?.abort(); this.wake(); });
  }

  // look says whether the page can be seen.
  look(seen) {
    clearTimeout(this.nap);
    this.asleep = false;
    if (seen) this.wake();
    else this.nap = setTimeout(() => { this.asleep = true; this.abort?.abort(); }, nap);
  }

  // onEvents calls f after changes were taken.
  onEvents(f) { this.listeners.push(f); }

  async run() {
    for (let pause = firstPause; ;) {
      if (this.asleep) {
        this.told("asleep", "");
        await new Promise(done => { this.wake = done; });
        continue;
      }
      const of = held();
      try {
        await this.once();
        if (this.whole) pause = firstPause;
        if (this.over) {
          await this.rest(turnPause);
          continue;
        }
        this.told("connecting", "");
      } catch (e) {
        if (this.asleep) continue;
        if (of.aborted) { // another token: begin at once
          this.told("connecting", "");
          continue;
        }
        if (e.status === 410 && this.last) { this.last = ""; continue; }
        this.refused = e.status === 403 || e.status === 401 ? e : null;
        // After a fault of the page its list may be half changed. It may come again at the same
        // place, so the pause grows, also if the list was whole before.
        const own = report(e);
        if (own) this.last = "";
        else if (this.whole) pause = firstPause;
        this.told(own ? fault : e.status === 401 ? "a token is needed" : e.status === 403 ? "this token may not read all services" : e.status ? e.message : this.heard ? "no answer since " + clock(this.heard) : away, "bad");
        if (this.refused) {
          await this.rest(refusedPause);
          continue;
        }
      }
      await this.rest(pause);
      pause = Math.min(pause * 1.7, longestPause);
    }
  }

  // rest waits for about a time, in milliseconds, or until wake is called.
  rest(ms) {
    return new Promise(done => {
      const timer = setTimeout(done, ms * (0.7 + 0.6 * Math.random()));
      this.wake = () => { clearTimeout(timer); done(); };
    });
  }

  // once follows one stream to its end. What is left of it must not keep its connection.
  async once() {
    const abort = this.abort = new AbortController();
    this.over = this.whole = false;
    try {
      this.keeps = await this.turns.keep();
      abort.signal.throwIfAborted();
      await this.follow(abort);
    } catch (e) {
      if (!this.over) throw e;
    } finally {
      this.turns.leave();
      clearTimeout(this.end);
      abort.abort();
    }
  }

  // current says that the store has the present. A stream that is not kept ends after a moment.
  current() {
    this.whole = true;
    this.told(this.keeps ? "live" : "every 4 s: other windows are open", "on");
    if (!this.keeps) this.end = setTimeout(() => { this.over = true; this.abort.abort(); }, turn);
  }

  async follow(abort) {
    const within = work => {
      const timer = setTimeout(() => abort.abort(), silence);
      return work.finally(() => clearTimeout(timer));
    };
    const headers = this.last ? { "Last-Event-ID": this.last } : {};
    const answer = await within(request("/v1/watch", { headers, signal: abort.signal, quiet: !!this.refused }));
    this.refused = null;
    this.fresh = this.last ? null : new Store();
    if (this.last) this.current();
    else this.told("loading", "");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await within(reader.read().catch(lost));
      if (done) return;
      this.heard = new Date(now());
      rest = await this.take(rest + value, abort.signal);
    }
  }

  // take takes the whole events of a text, in slices, and returns the rest.
  async take(text, signal) {
    let until = performance.now() + slice, at = 0;
    for (let end; (end = text.indexOf("\n\n", at)) >= 0; at = end + 2) {
      this.event(text.slice(at, end));
      if (performance.now() > until) {
        for (const f of this.listeners) f();
        await breathe();
        signal.throwIfAborted(); // the token is another one
        until = performance.now() + slice;
      }
    }
    for (const f of this.listeners) f();
    return text.slice(at);
  }

  event(block) {
    const f = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) f[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (!f.data) return;
    const e = JSON.parse(f.data), into = this.fresh || this.store;
    switch (f.event) {
      case "snapshot": into.put(e.service, e.instance); break;
      case "put": into.put(e.service, e.instance); break;
      case "delete": into.remove(e.service, e.instance.id, e.revision); break;
      case "sync":
        this.store.replace(this.fresh || this.store);
        this.fresh = null;
        this.current();
        break;
      case "end":
        this.told(e.detail, "");
        if (e.reason === "compacted") this.last = "";
    }
    if (f.id) this.last = f.id;
  }
}
