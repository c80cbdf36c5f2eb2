// The dnsd that share the registry (GET /v1/cluster).
import { el, say, badge, number } from "./dom.js";
import { json, wordsOfError } from "./api.js";
import { Table, only } from "./table.js";

export function clusterView() {
  const note = el("p", { class: "note", hidden: true }), facts = el("dl", { class: "fields" });
  let self = "";
  const members = new Table({
    label: "Members", key: m => m.name, empty: "Loading",
    columns: [
      { name: "dnsd", class: "mono main", text: m => m.name + (m.name === self ? " (this one)" : "") },
      { name: "Role", class: "state", draw: (cell, m) => only(cell, m.role + !!m.error, () => badge(m.error ? "fault" : m.role, m.error ? "gone" : m.role === "writer" ? "up" : "other")) },
      { name: "Revision", class: "num", text: m => m.revision || "" },
      { name: "Behind", class: "num", text: m => (m.lag || !m.error ? number(m.lag || 0) : "") },
      { name: "HTTP API", class: "mono of", text: m => m.hook || "" },
      { name: "Address", class: "mono", text: m => m.address || "" },
      { name: "Certificate ends", class: "ends", draw: (cell, m) => { cell.title = m.certificate_ends || ""; say(cell, cell.title.slice(0, 10)); } }, // the day
      { name: "Fault", class: "why", text: m => m.error || "" },
    ],
  });
  const servers = new Table({
    label: "Servers of the store", key: s => s.name + s.peer,
    columns: [
      { name: "Server", class: "mono main", text: s => s.name || "has not started" },
      { name: "Role", class: "state", draw: (cell, s) => only(cell, "" + s.leader + s.error, () => badge(s.error ? "fault" : s.leader ? "leader" : "follower", s.error ? "gone" : s.leader ? "up" : "other")) },
      { name: "URL", class: "mono", text: s => s.peer || "" },
      { name: "Fault", class: "why", text: s => s.error || "" },
    ],
  });
  const store = el("section", { "aria-label": "Store", hidden: true }, el("div", { class: "bar" }, el("h2", {}, "Store")), facts, servers.element);

  function warn(text) {
    note.hidden = !text;
    note.className = "note bad";
    say(note, text);
  }

  async function refresh() {
    let c;
    try {
      c = await json("/v1/cluster");
    } catch (e) {
      if (!members.list.length) members.show([], "Nothing is known of the cluster.");
      return warn(wordsOfError(e));
    }
    self = c.name;
    members.show(c.members);
    const e = c.etcd;
    warn(!c.writer ? "No writer is known: nothing can be registered, and no lease ends, until one is elected." :
      e?.error ? "Changes cannot be stored: " + e.error + (e.away ? ", for " + e.away : "") : "");
    store.hidden = !e;
    if (!e) return;
    const size = n => (n / (1 << 20)).toFixed(1) + " MiB";
    const rows = [["Runs", e.inside ? "inside the dnsd" : "as etcd, apart from the dnsd"], ["Version", e.version || "not known"],
      ["Size", e.bytes ? size(e.bytes) + (e.quota ? " of " + size(e.quota) : "") : "not known"]];
    facts.replaceChildren(...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
    servers.show(e.members || []);
  }
  refresh();
  const element = el("section", { "aria-label": "Cluster" },
    el("div", { class: "bar" }, el("h1", {}, "Cluster"), el("span", { class: "grow" }), el("a", { rel: "noopener", href: "/v1/cluster" }, "JSON")), note, members.element, store);
  return { title: "Cluster", element, update: () => {}, refresh };
}
