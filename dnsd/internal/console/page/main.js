// Which view is shown, how often it is drawn, and the keys.
import { say, soon, span, breathe } from "./dom.js";
import { json, text, report, wordsOfError } from "./api.js";
import { ahead, now } from "./clock.js";
import { ask, token, changed } from "./token.js";
import { Store } from "./state.js";
import { Stream } from "./stream.js";
import { Rates } from "./rates.js";
import { Events, eventsView } from "./timeline.js";
import { overviewView } from "./overview.js";
import { serviceView } from "./service.js";
import { clusterView } from "./cluster.js";
import { tell } from "./actions.js";

const zone = document.documentElement.dataset.zone;
const store = new Store(), rates = new Rates(), events = new Events();
const live = document.getElementById("live");
const stream = new Stream(store, (what, kind) => {
  say(live.lastElementChild, what);
  live.className = kind;
  if (stream.refused) tick(); // a token for one service can do with less
});
const world = { store, rates, events, stream, zone };
let view;

function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  if (parts[0] === "s" && parts[1]) try { return serviceView(world, decodeURIComponent(parts[1])); } catch (e) { if (!(e instanceof URIError)) throw e; }
  if (parts[0] === "events") return eventsView(world);
  if (parts[0] === "cluster") return clusterView();
  return overviewView(world);
}

function show() {
  for (const d of document.querySelectorAll("dialog[open]")) d.close();
  view = route();
  document.getElementById("view").replaceChildren(view.element);
  document.title = (view.title ? view.title + " · " : "") + "Rollcall";
  for (const a of document.querySelectorAll("nav a")) {
    const here = a.getAttribute("href") === (location.hash || "#/");
    if (here) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
  if (stream.refused) askEvents();
}

// askEvents asks for the events that the token may read: if not for all, then for those of the
// service that is shown.
function askEvents() {
  events.of(stream.refused && view.service || "");
  return events.ask();
}

// Changes are drawn a few times a second, however many there are.
const draw = soon(() => { if (!document.hidden) view.update(); }, 300);
const news = soon(() => { if (!document.hidden) askEvents(); }, 700);
stream.onEvents(() => { draw(); if (store.loaded) news(); });

// An unconfirmed instance that renews becomes up without a change, so the stream does not
// tell it. The metrics do, and then the list is read again, but not often.
let read = 0;
async function confirmStates() {
  if (!store.loaded || rates.unconfirmed === undefined || store.counts.unconfirmed === rates.unconfirmed || performance.now() - read < 10000) return;
  read = performance.now();
  const list = await json("/v1/services");
  let until = performance.now() + 12;
  for (const s of list.services) for (const i of s.instances) {
    const known = store.services.get(s.service)?.instances.get(i.id);
    if (known && known.revision === i.revision && known.state !== i.state) store.put(s.service, i);
    if (performance.now() > until) {
      await breathe();
      until = performance.now() + 12;
    }
  }
  draw();
}

function about() {
  const up = rates.started ? ", up for " + span(now() / 1000 - rates.started) : "";
  const off = Math.abs(ahead()) < 60000 ? "" : ", its clock is " + span(Math.abs(ahead()) / 1000) + (ahead() < 0 ? " behind" : " ahead of") + " this browser's";
  say(document.getElementById("about"), "dnsd" + (rates.version ? " " + rates.version : "") + up + off);
}

async function tick() {
  if (document.hidden || (stream.refused && stream.refused.status === 401)) return;
  view.refresh?.();
  askEvents();
  if (stream.refused) return;
  await rates.ask();
  about();
  await confirmStates().catch(report);
}

// shown is how long a copy of an answer is kept for the tab that shows it, in milliseconds.
const shown = 60000;

// A link to the API takes the token along, which a browser would not do by itself.
document.addEventListener("click", async e => {
  const a = e.target.closest?.("a");
  if (!a || !token() || !/^\/(v1|metrics)/.test(a.getAttribute("href"))) return;
  e.preventDefault();
  const answer = await text(a.getAttribute("href")).catch(e => { if (e.status !== 401) tell(wordsOfError(e), "bad"); });
  if (answer === undefined) return;
  const url = URL.createObjectURL(new Blob([answer], { type: "text/plain;charset=utf-8" }));
  window.open(url, "_blank", "noopener"); // with an opener it would get a copy of sessionStorage
  setTimeout(() => URL.revokeObjectURL(url), shown);
});

// The address says which view is shown, so the link to the content must not change it.
document.querySelector(".skip").addEventListener("click", e => { e.preventDefault(); document.getElementById("main").focus(); });

document.addEventListener("keydown", e => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || document.querySelector("dialog[open]")) return;
  const filter = document.getElementById("filter");
  if (filter) { e.preventDefault(); filter.focus(); filter.select(); }
});

changed(() => { events.reset(); rates.reset(); about(); store.loaded = false; store.clear(); store.version++; show(); setTimeout(tick); });
document.getElementById("token").addEventListener("click", () => ask());
document.addEventListener("visibilitychange", () => { stream.look(!document.hidden); if (!document.hidden) { draw(); tick(); } });
window.addEventListener("hashchange", () => { document.getElementById("told").hidden = true; show(); });
say(document.getElementById("zone"), zone);
show();
if (!AbortSignal.any) tell("This browser is too old for the console. It needs Chrome or Edge 116, Firefox 124, Safari 17.4, or a later one.", "bad");
stream.look(!document.hidden);
stream.run();
tick();
setInterval(tick, 3000);
setInterval(() => { if (!document.hidden) view.update(); }, 1000);
