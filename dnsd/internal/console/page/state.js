// Services and instances, as the stream tells them. Nothing here draws.
import { now } from "./clock.js";

const states = ["up", "unconfirmed", "suspect", "drained"];
const none = () => ({ up: 0, unconfirmed: 0, suspect: 0, drained: 0 });

// mostGone bounds the services that are remembered because all their instances left.
const mostGone = 200;

// Store has the services by name. A view compares version with the one that it has drawn.
export class Store {
  constructor() {
    this.version = 0;
    this.loaded = false;
    this.clear();
  }

  clear() {
    this.services = new Map();
    this.counts = none();
    this.total = 0;
  }

  // put adds or changes an instance. left is what is known of its lease.
  put(name, instance) {
    let s = this.services.get(name);
    if (!s) this.services.set(name, s = { name, instances: new Map(), counts: none(), changed: 0, revision: 0, version: 0 });
    const old = s.instances.get(instance.id);
    if (old) this.count(s, old, -1);
    s.instances.set(instance.id, instance);
    this.count(s, instance, 1);
    s.gone = 0;
    if (!old || old.revision !== instance.revision || old.state !== instance.state) this.touch(s, instance.revision);
    return instance;
  }

  remove(name, id, revision) {
    const s = this.services.get(name), old = s && s.instances.get(id);
    if (!old) return;
    s.instances.delete(id);
    this.count(s, old, -1);
    this.touch(s, revision);
    if (s.instances.size) return;
    s.gone = now();
    this.forgetGone();
  }

  touch(s, revision) {
    s.version = ++this.version;
    if (revision > s.revision) s.revision = revision;
    if (this.loaded) s.changed = now();
  }

  count(s, instance, by) {
    const state = states.includes(instance.state) ? instance.state : "up";
    s.counts[state] += by;
    this.counts[state] += by;
    this.total += by;
  }

  // forgetGone drops the services that were empty for longest.
  forgetGone() {
    const gone = [...this.services.values()].filter(s => s.gone);
    if (gone.length <= mostGone) return;
    gone.sort((a, b) => a.gone - b.gone);
    for (const s of gone.slice(0, gone.length - mostGone)) this.services.delete(s.name);
  }

  // replace takes the content of another store. Services that were there and are not any
  // more stay as empty ones: an operator wants to see that.
  replace(next) {
    for (const [name, s] of this.services) {
      const there = next.services.get(name);
      if (there) there.changed = s.changed;
      else if (this.loaded) next.services.set(name, { ...s, instances: new Map(), counts: none(), gone: s.gone || now() });
    }
    this.services = next.services;
    this.counts = next.counts;
    this.total = next.total;
    this.loaded = true;
    this.version++;
    for (const s of this.services.values()) s.version = this.version;
    this.forgetGone();
  }
}

// trouble says how a service does: 0 well, up to 3, with the words for it.
export function trouble(s) {
  const all = s.instances.size, c = s.counts, ready = c.up + c.unconfirmed;
  if (!all) return { level: 3, word: "gone", kind: "gone", text: "no instance is left" };
  if (!ready && c.suspect) return { level: 3, word: "suspect", kind: "gone", text: "all that is published is suspect" };
  if (!ready) return { level: 3, word: "drained", kind: "gone", text: "no instance is in DNS" };
  if (c.suspect) return { level: 2, word: "suspect", kind: "suspect", text: c.suspect + " of " + all + " suspect" };
  if (c.drained) return { level: 1, word: "drained", kind: "drained", text: c.drained + " of " + all + " drained" };
  if (c.unconfirmed) return { level: 1, word: "unconfirmed", kind: "unconfirmed", text: c.unconfirmed + " not renewed since dnsd started" };
  return { level: 0, word: "up", kind: "up", text: "" };
}

// ranked lists the services, those in most trouble first, then by name.
export function ranked(store) {
  const list = [...store.services.values()].map(s => ({ s, t: trouble(s) }));
  list.sort((a, b) => b.t.level - a.t.level || (a.s.name < b.s.name ? -1 : 1));
  return list;
}

const order = { suspect: 0, unconfirmed: 1, drained: 2, up: 3 };

// instancesOf lists the instances of a service, those in trouble first, then by id.
export function instancesOf(s, words) {
  let list = [...s.instances.values()];
  if (words.length) list = list.filter(i => matches(words, haystack(s.name, i)));
  return list.sort((a, b) => (order[a.state] ?? 4) - (order[b.state] ?? 4) || (a.id < b.id ? -1 : 1));
}

function haystack(name, i) {
  let text = name + " " + i.id + " " + i.host + ":" + i.port + " " + i.state;
  for (const k in i.meta) text += " " + k + "=" + i.meta[k];
  return text.toLowerCase();
}

export const wordsOf = text => text.trim().toLowerCase().split(/\s+/).filter(Boolean);

export const matches = (words, text) => words.every(w => text.includes(w));

// serviceMatches says whether a service, or one of its instances, has all the words. It
// stops at the first instance that does.
export function serviceMatches(s, words) {
  if (!words.length || matches(words, s.name)) return true;
  for (const i of s.instances.values()) if (matches(words, haystack(s.name, i))) return true;
  return false;
}
