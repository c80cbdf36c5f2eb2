// The first view: totals, rates, and the services, those in trouble first.
import { el, say, badge, number, rate, ago, serviceLink } from "./dom.js";
import { Table, only } from "./table.js";
import { ranked, serviceMatches, wordsOf } from "./state.js";
import { eventTable } from "./timeline.js";

const totals = [
  ["Services", "", a => number(a.services)],
  ["Instances", "", a => number(a.store.total)],
  ["Up", "up", a => number(a.store.counts.up)],
  ["Unconfirmed", "unconfirmed", a => number(a.store.counts.unconfirmed)],
  ["Suspect", "suspect", a => number(a.store.counts.suspect)],
  ["Drained", "drained", a => number(a.store.counts.drained)],
  ["Renewals/s", "", a => rate(a.rates.second.renewals)],
  ["Late/s", "", a => rate(a.rates.second.late)],
  ["Changes/s", "", a => rate(a.rates.second.changes)],
  ["Lost/s", "", a => rate(a.rates.second.lost)],
  ["DNS/s", "", a => rate(a.rates.second.answers)],
];

const ready = s => s.counts.up + s.counts.unconfirmed;

export function serviceTable() {
  return new Table({
    label: "Services", size: 100, key: r => r.s.name,
    columns: [
      { name: "Service", class: "mono main", draw: (cell, r) => only(cell, r.s.name, () => el("a", { href: serviceLink(r.s.name) }, r.s.name)) },
      { name: "State", class: "state", draw: (cell, r) => only(cell, r.t.kind + r.t.word, () => badge(r.t.word, r.t.kind)) },
      { name: "Ready", class: "num", text: r => number(ready(r.s)) + " of " + number(r.s.instances.size) },
      { name: "Why", class: "why", text: r => r.t.text },
      { name: "Changed", class: "num soft", text: r => (r.s.changed ? ago(r.s.changed) : "") },
    ],
  });
}

export function overviewView({ store, rates, events, stream, zone }) {
  const figures = totals.map(([name, kind]) => el("dd", { class: kind, id: "total-" + name.toLowerCase().replace(/\W+/g, "-") }, "–"));
  const strip = el("dl", { class: "totals" }, ...totals.map(([name], i) => el("div", {}, el("dt", {}, name), figures[i])));
  const sick = el("p", { class: "note bad", role: "alert", hidden: true }, "Changes cannot be stored now: registrations are refused until the store works again. Its log has the cause.");
  const filter = el("input", { type: "search", id: "filter", placeholder: "Filter: _math, a1, 10.0.0.7, suspect", "aria-label": "Filter the services", oninput: () => update(true) });
  filter.addEventListener("keydown", e => {
    if (e.key === "Enter" && /^_[^/\s]+\._(tcp|udp)$/.test(filter.value.trim())) location.hash = serviceLink(filter.value.trim());
  });
  const services = serviceTable(), recent = eventTable(12);
  const count = el("span", { class: "soft" });
  let drawn = -1;

  function why() {
    if (stream.refused) return stream.refused.message + ". A token for one service can open it: type its name, such as _math._tcp, into the filter, then Enter.";
    if (!store.loaded) return "Loading";
    if (store.services.size) return "Nothing matches.";
    return "No instance is registered. Register one: curl --json '{\"port\":8080}' -X PUT " + location.origin + "/v1/services/_math._tcp/instances/a1";
  }

  function update(force) {
    const words = wordsOf(filter.value);
    const all = { store, rates, services: [...store.services.values()].filter(s => s.instances.size).length };
    totals.forEach(([, , text], i) => {
      say(figures[i], store.loaded ? text(all) : "–");
      figures[i].classList.toggle("zero", figures[i].textContent === "0");
    });
    sick.hidden = !rates.sick;
    if (force || drawn !== store.version || !store.loaded) {
      drawn = store.version;
      const list = ranked(store).filter(r => serviceMatches(r.s, words));
      say(count, list.length === store.services.size ? "" : number(list.length) + " of " + number(store.services.size));
      services.show(list, why());
    } else services.draw(); // the times go on
  }
  const updateEvents = () => recent.show(events.list.slice(0, 12), events.error || "Nothing has happened since dnsd started.");
  rates.onChange(() => element.isConnected && update());
  events.onChange(() => element.isConnected && updateEvents());

  const element = el("div", { class: "overview" }, strip, sick,
    el("div", { class: "columns" },
      el("section", { "aria-label": "Services" },
        el("div", { class: "bar" }, el("h1", {}, "Services"), count, el("span", { class: "grow" }), filter), services.element),
      el("section", { "aria-label": "Last events" },
        el("div", { class: "bar" }, el("h2", {}, "Last events"), el("span", { class: "grow" }), el("a", { href: "#/events" }, "All events")), recent.element)));
  update(true);
  updateEvents();
  return { title: zone, element, update };
}
