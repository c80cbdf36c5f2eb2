// One service: its instances, what DNS says, its events, and what can be done.
import { el, say, badge, number, seconds, span, address, priority } from "./dom.js";
import { json, wordsOfError, servicePath } from "./api.js";
import { Table, only } from "./table.js";
import { instancesOf, trouble, wordsOf } from "./state.js";
import { eventTable } from "./timeline.js";
import { openInstance, releaseGuard } from "./actions.js";

// mostPolled is the size of a service up to which the ends of its leases are asked for:
// renewals are no changes, so they do not come by the stream.
const mostPolled = 500;

// mostLines is how many records of a section of an answer are shown.
const mostLines = 100;

const meta = i => Object.entries(i.meta || {}).map(([k, v]) => k + "=" + v).join("  ");

function leaseCell(cell, i) {
  if (i.until === undefined) {
    only(cell, "text", () => el("span", {}));
    return say(cell.firstChild, i.lease);
  }
  only(cell, "bar", () => [el("progress", { max: "1", value: "0", "aria-hidden": "true" }), el("span", {})]);
  const left = Math.max(0, i.until - performance.now() / 1000), all = seconds(i.lease);
  cell.firstChild.value = Math.min(1, left / all);
  say(cell.lastChild, span(left) + " of " + span(all));
}

function instanceTable(name, world) {
  return new Table({
    label: "Instances of " + name, size: 100, key: i => i.id,
    columns: [
      {
        name: "Instance", class: "mono main", draw: (cell, i) => {
          only(cell, i.id, () => el("button", { type: "button", class: "link", onclick: () => openInstance(world, name, i.id) }, i.id));
        },
      },
      { name: "State", class: "state", draw: (cell, i) => only(cell, i.state, () => badge(i.state)) },
      { name: "Address", class: "mono", text: address },
      { name: "Lease", class: "lease", draw: leaseCell },
      { name: "Priority", class: "num", text: priority },
      { name: "Weight", class: "num", text: i => i.weight },
      { name: "Metadata", class: "why meta", text: meta },
    ],
  });
}

// dnsPart shows what dig shows, for a type of records.
function dnsPart(name, zone) {
  const types = ["SRV", "A", "AAAA", "PTR"];
  const out = el("pre", { tabindex: "0", "aria-label": "The answer of DNS" }), head = el("p", { class: "soft" });
  const buttons = types.map(t => el("button", { type: "button", "aria-pressed": "false", onclick: () => ask(t) }, t));
  let type = "SRV";
  async function ask(t = type) {
    type = t;
    buttons.forEach(b => b.setAttribute("aria-pressed", String(b.textContent === t)));
    let a;
    try {
      a = await json(servicePath(name) + "/dns?type=" + t);
    } catch (e) {
      say(head, wordsOfError(e));
      return say(out, "");
    }
    if (t !== type) return;
    say(head, a.status + ", " + number(a.octets) + " octets, " + (a.udp ? "fits into one datagram" : "over TCP") +
      (a.total ? ", a sample of " + number(a.total) + " records" : ""));
    const part = (title, lines) => (lines && lines.length ? ";; " + title + "\n" + lines.slice(0, mostLines).join("\n") + "\n" +
      (lines.length > mostLines ? "; and " + number(lines.length - mostLines) + " more\n" : "") : "");
    say(out, "; dig " + a.name + " " + a.type + "\n" + part("ANSWER", a.answer) + part("AUTHORITY", a.authority) + part("ADDITIONAL", a.additional));
  }
  const element = el("section", { "aria-label": "DNS" },
    el("div", { class: "bar" }, el("h2", {}, "What DNS says"), el("span", { class: "grow" }), el("span", { class: "choice" }, ...buttons)), head, out);
  return { element, ask };
}

export function serviceView(world, name) {
  const { store, events, zone } = world;
  const instances = instanceTable(name, world), history = eventTable(20, false), dns = dnsPart(name, zone);
  const state = el("span", { id: "service-state" }), count = el("span", { class: "soft" });
  const filter = el("input", { type: "search", id: "filter", placeholder: "Filter: a1, 10.0.0.7, suspect, version=2", "aria-label": "Filter the instances", oninput: () => update(true) });
  const release = el("button", { type: "button", class: "danger", onclick: () => releaseGuard(world, name) }, "Release guard");
  let drawn = -1, alone = null, problem = "", asked = 0;

  const current = () => alone || store.services.get(name);

  // poll asks for the ends of the leases, and, if the token may not watch all services, for
  // the service itself.
  async function poll() {
    const s = store.services.get(name), watched = !world.stream.refused;
    if (watched) alone = null;
    if (watched && (!s || s.instances.size > mostPolled)) return;
    let list;
    try {
      list = await json(servicePath(name));
      problem = "";
    } catch (e) {
      problem = wordsOfError(e);
      if (!watched) alone = null;
      return update(true);
    }
    const now = performance.now() / 1000;
    if (!watched) alone = { name, instances: new Map(), counts: { up: 0, unconfirmed: 0, suspect: 0, drained: 0 }, version: ++asked };
    for (const i of list.instances) {
      if (i.expires_in !== undefined) i.until = now + seconds(i.expires_in);
      if (!watched) {
        alone.instances.set(i.id, i);
        alone.counts[i.state]++;
        continue;
      }
      const known = store.services.get(name)?.instances.get(i.id);
      // An older answer must not undo what the stream has told meanwhile.
      if (known && known.revision === i.revision) store.put(name, i);
    }
    update(true);
  }

  function update(force) {
    const s = current();
    if (!s) {
      say(count, "");
      only(state, "", () => null);
      release.hidden = true;
      return instances.show([], problem || (store.loaded ? "No instance of this service is registered." : "Loading"));
    }
    if (!force && drawn === s.version) return instances.draw();
    const t = trouble(s);
    drawn = s.version;
    only(state, t.kind + t.word, () => badge(t.word, t.kind));
    const list = instancesOf(s, wordsOf(filter.value));
    const c = s.counts;
    say(count, number(c.up + c.unconfirmed) + " of " + number(s.instances.size) + " ready" + (t.text ? ", " + t.text : ""));
    release.hidden = !c.suspect;
    instances.show(list, s.instances.size ? "Nothing matches." : "All instances of this service have left.");
  }
  const updateEvents = () => history.show(events.list.filter(e => e.service === name), events.error || (events.list.length ? "Nothing among the last " + number(events.list.length) + " events." : "Nothing has happened since dnsd started."));
  events.onChange(() => element.isConnected && updateEvents());

  const element = el("div", { class: "service" },
    el("div", { class: "bar head" }, el("h1", { class: "mono" }, name, el("span", { class: "soft" }, "." + zone)), state, count, el("span", { class: "grow" }), release,
      el("a", { rel: "noopener", href: servicePath(name) }, "JSON")),
    el("section", { "aria-label": "Instances" }, el("div", { class: "bar" }, el("h2", {}, "Instances"), el("span", { class: "grow" }), filter), instances.element),
    el("div", { class: "columns even" }, dns.element,
      el("section", { "aria-label": "Events of the service" }, el("div", { class: "bar" }, el("h2", {}, "Events")), history.element)));
  update(true);
  updateEvents();
  dns.ask();
  let version = -1;
  const refresh = () => {
    poll();
    const s = current();
    if (s && s.version !== version) { // ask DNS again only after a change
      version = s.version;
      dns.ask();
    }
  };
  poll();
  return { title: name, service: name, element, update, refresh };
}
