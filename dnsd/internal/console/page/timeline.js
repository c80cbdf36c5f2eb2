// The events: who, what, when, why (GET /v1/events).
import { el, say, badge, clock, ago, serviceLink, number } from "./dom.js";
import { now } from "./clock.js";
import { json, wordsOfError } from "./api.js";
import { Table, only } from "./table.js";
import { wordsOf, matches } from "./state.js";

// mostKept bounds the events in the page.
const mostKept = 2000;

// missed is an event of the page itself: the server does not know any more what was before it.
const missed = "missed";

// kinds are the words for what happened, as the server lists them.
const kinds = [...document.documentElement.dataset.events.split(","), missed];

// colours of the words.
const colours = {
  registered: "up", restored: "up", undrained: "up", "member added": "up", "renewed late": "suspect", suspect: "suspect",
  loaded: "suspect", missed: "suspect", expired: "gone", refused: "gone", "guard released": "gone", "member removed": "gone",
  removed: "drained", drained: "drained", "fence cleared": "drained", replaced: "unconfirmed", changed: "unconfirmed",
};

// Events has the events, the newest first.
export class Events {
  constructor() {
    this.list = [];
    this.next = "";
    this.service = "";
    this.count = 0;
    this.listeners = [];
  }

  // of says which service the events are of; "": all of them, which not every token may read.
  of(service) {
    if (service === this.service) return;
    this.service = service;
    this.reset();
  }

  onChange(f) { this.listeners = [f]; } // of the view that is open

  reset() {
    this.list = [];
    this.next = "";
    this.error = "";
  }

  // ask takes what is new. Two calls at one time become one.
  ask() {
    this.asking ||= this.take().finally(() => { this.asking = null; });
    return this.asking;
  }

  async take() {
    for (let more = true; more;) {
      let page;
      const list = this.list;
      try {
        page = await json("/v1/events?limit=1000" + (this.service ? "&service=" + encodeURIComponent(this.service) : "") + (this.next ? "&since=" + encodeURIComponent(this.next) : ""));
      } catch (e) {
        if (this.list !== list) continue; // it was for another token, or another service
        this.error = wordsOfError(e);
        for (const f of this.listeners) f();
        return;
      }
      if (this.list !== list) continue;
      this.error = "";
      more = this.next !== "" && page.events.length === 1000;
      if (page.missed && this.list.length) this.add({ time: new Date(now()).toISOString(), what: missed, why: "some events before this are not known any more" });
      for (const e of page.events) this.add(e);
      this.next = page.next;
      if (page.events.length || page.missed) for (const f of this.listeners) f();
    }
  }

  add(e) {
    this.list.unshift({ ...e, key: ++this.count, date: new Date(e.time) });
    if (this.list.length > mostKept) this.list.length = mostKept;
  }
}

const subject = e => (e.service || "") + (e.id ? "/" + e.id : "");

function columns(withService) {
  return [
    { name: "When", class: "when", draw: (cell, e) => { cell.title = e.date.toLocaleString() + ", " + ago(e.date); say(cell, clock(e.date)); } },
    { name: "What", class: "what", draw: (cell, e) => only(cell, e.key, () => badge(e.what, colours[e.what] || "other")) },
    {
      name: withService ? "Service and instance" : "Instance", class: "mono of", draw: (cell, e) => only(cell, e.key, () => {
        if (!e.service) return el("span", { class: "soft" }, "all");
        return withService ? el("a", { href: serviceLink(e.service) }, subject(e)) : el("span", {}, e.id || "all");
      }),
    },
    { name: "Who", class: "who", text: e => e.who || "not known here" },
    { name: "Why", class: "why", text: e => e.why || "" },
  ];
}

// eventTable makes a table of events; size rows a page.
export const eventTable = (size, withService = true) => new Table({
  label: "Events", size, columns: columns(withService), key: e => e.key, empty: "Nothing has happened since dnsd started.",
});

// eventsView is the page of all events.
export function eventsView({ events, stream }) {
  const table = eventTable(100);
  const what = el("select", { "aria-label": "What happened", onchange: () => update() }, el("option", { value: "" }, "everything"),
    ...kinds.map(k => el("option", { value: k }, k)));
  const filter = el("input", { type: "search", id: "filter", placeholder: "Filter: _math, a1, a name, a reason", "aria-label": "Filter the events", oninput: () => update() });
  const count = el("span", { class: "soft" });
  const update = () => {
    const words = wordsOf(filter.value);
    const list = events.list.filter(e => (!what.value || e.what === what.value) &&
      (!words.length || matches(words, (subject(e) + " " + (e.who || "") + " " + e.what + " " + (e.why || "")).toLowerCase())));
    say(count, number(list.length) + " of " + number(events.list.length));
    table.show(list, events.error && stream.refused ? events.error + ". The page of a service shows its events." : events.error || (events.list.length ? "Nothing matches." : "Nothing has happened since dnsd started."));
  };
  events.onChange(() => element.isConnected && update());
  const element = el("section", { "aria-label": "Events" },
    el("div", { class: "bar" }, el("h1", {}, "Events"), count, el("span", { class: "grow" }), what, filter),
    table.element);
  update();
  return { title: "Events", element, update };
}
