// What an operator can do to an instance or a service: ask first, do it, tell what the
// server said.
import { el, say, badge, address, priority } from "./dom.js";
import { request, json, text, lost, report, fault, wordsOfError, instancePath, servicePath } from "./api.js";

// tell shows what happened, until the next action. It is read aloud.
export function tell(what, kind) {
  const p = document.getElementById("told"), main = document.getElementById("main"), open = [...document.querySelectorAll("dialog[open]")].pop();
  (open || main).prepend(p); // what is below a dialog is not read aloud
  open?.addEventListener("close", () => { if (open.contains(p)) main.prepend(p); }, { once: true });
  p.replaceChildren(what + " ", el("button", { type: "button", class: "quiet", onclick: () => { p.hidden = true; } }, "Close"));
  p.className = "note " + kind;
  p.hidden = false;
}

// unknown is what is not known when an answer did not come, or was not understood.
const unknown = ": it is not known whether this was done.";

// failure says why a work was not done, or perhaps not.
function failure(e) {
  if (e.status) return e.status + ": " + e.message;
  return (report(e) ? fault : e.message) + unknown;
}

// askFirst asks in a dialog, does the work in it, and shows the outcome.
function askFirst({ title, body, word, danger, work, done }) {
  const outcome = el("p", { class: "outcome", role: "status", "aria-live": "polite" });
  const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const go = el("button", { type: "button", class: danger ? "danger" : "main", id: "confirm" }, word);
  const dialog = el("dialog", { class: "small", "aria-label": title },
    el("h2", {}, title), ...body.map(line => el("p", {}, line)), outcome, el("div", { class: "buttons" }, cancel, go));
  dialog.addEventListener("close", () => dialog.remove());
  go.addEventListener("click", async () => {
    go.disabled = true;
    say(outcome, "Waiting for dnsd");
    let did;
    try {
      did = await work();
    } catch (e) {
      outcome.className = "outcome bad";
      say(outcome, failure(e));
      go.disabled = false;
      if (!dialog.isConnected) tell(title + " " + outcome.textContent, "bad");
      done?.(e);
      return;
    }
    dialog.close(); // a fault from here on is none of the work, which is done
    tell(did, "good");
    done?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus();
}

// words is what the server answered, for people.
async function words(answer) {
  const status = answer.status + (answer.statusText ? " " + answer.statusText : "");
  if (answer.status === 204) return status;
  const i = JSON.parse(await answer.text().catch(lost));
  return status + ", state " + i.state + (i.drained_by ? " by " + i.drained_by.join(" and ") : "") + ", revision " + i.revision;
}

const actions = {
  drain: {
    word: "Drain", method: "PUT", path: "/drain", wanted: i => !(i.drained_by || []).includes("operator"),
    body: n => [n + " leaves the answers of DNS. The process goes on and keeps its lease, so that calls under way end well.", "Clients forget it when its TTL is over."],
    past: "is drained",
  },
  keep: {
    word: "Drain for good", method: "PUT", path: "/drain?sticky=1", wanted: i => !i.sticky,
    body: n => [n + " leaves the answers of DNS, and is drained again when it comes back after it was gone."],
    past: "is drained for good",
  },
  undrain: {
    word: "Undrain", method: "DELETE", path: "/drain", wanted: i => (i.drained_by || []).includes("operator"),
    body: n => [n + " comes back into the answers of DNS, unless it asked for the drain itself."],
    past: "is undrained",
  },
  remove: {
    word: "Remove", method: "DELETE", path: "", danger: true, wanted: () => true,
    body: n => [n + " is deregistered at once. If its process still runs, it registers again with its next heartbeat: drain it instead."],
    past: "is removed",
  },
};

function act(world, service, id, incarnation, name, again) {
  const a = actions[name], whole = service + "/" + id;
  askFirst({
    title: a.word + " " + whole + "?", body: a.body(whole), word: a.word, danger: a.danger,
    work: async () => {
      const answer = await request(instancePath(service, id) + a.path + (name === "remove" && incarnation ? "?incarnation=" + incarnation : ""), { method: a.method });
      return whole + " " + a.past + ": " + await words(answer);
    },
    done: e => {
      world.events.ask();
      again(e);
    },
  });
}

// openInstance shows all about an instance, and what can be done to it.
export async function openInstance(world, service, id) {
  const fields = el("dl", { class: "fields" }), can = el("span", { class: "can" }), why = el("p", { class: "soft" }), dns = el("pre", { tabindex: "0", "aria-label": "The answers of DNS" });
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { "aria-label": service + "/" + id },
    el("h2", { class: "mono" }, service + "/" + id), fields, el("h3", {}, "What DNS says"), dns, why, el("div", { class: "buttons" }, can, el("span", { class: "grow" }), close));
  dialog.addEventListener("close", () => dialog.remove());
  const refused = new Map(); // why an action was refused, until it is done

  function acted(name, e) {
    if (e?.status === 403) refused.set(name, e.message);
    else refused.delete(name);
    load();
  }

  async function load() {
    let i;
    try {
      // A number of nanoseconds has more digits than a number here can have.
      i = JSON.parse((await text(instancePath(service, id))).replace(/"incarnation":(\d{16,})/, '"incarnation":"$1"'));
    } catch (e) {
      fields.replaceChildren(el("dt", {}, "Now"), el("dd", {}, wordsOfError(e)));
      can.replaceChildren();
      say(dns, "");
      return;
    }
    const rows = [["State", badge(i.state)], ["Address", address(i)], ["Priority", priority(i)], ["Weight", i.weight], ["TTL", i.ttl],
      ["Lease", i.lease + (i.expires_in ? ", " + i.expires_in + " left" : "")], ["Incarnation", i.incarnation || "none"], ["Revision", i.revision]];
    if (i.drained_by) rows.push(["Drained by", i.drained_by.join(" and ") + (i.sticky ? ", for good" : "")]);
    for (const [k, v] of Object.entries(i.meta || {})) rows.push(["Metadata " + k, v]); // a key may be called State
    fields.replaceChildren(...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
    can.replaceChildren(...Object.entries(actions).filter(([, a]) => a.wanted(i)).map(([name, a]) =>
      el("button", { type: "button", "data-action": name, class: a.danger ? "danger" : "", onclick: () => act(world, service, id, i.incarnation, name, e => acted(name, e)) }, a.word)));
    if (!dialog.contains(document.activeElement)) close.focus(); // the button that had it is gone
    say(why, [...refused].map(([name, reason]) => actions[name].word + " was refused: " + reason).join("\n"));
    why.hidden = !refused.size;
    const lines = await Promise.all(["SRV", "TXT"].map(t => json(servicePath(service) + "/dns?type=" + t + "&id=" + encodeURIComponent(id)).then(
      a => "; dig " + a.name + " " + t + ": " + a.status + "\n" + a.answer.join("\n"), wordsOfError)));
    say(dns, lines.join("\n"));
  }
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
  await load();
}

// releaseGuard removes the suspects of a service.
export function releaseGuard(world, service) {
  askFirst({
    title: "Release the guard of " + service + "?", word: "Remove the suspects", danger: true,
    body: ["All instances of " + service + " that are suspect now are removed at once. Do this when you know that they are dead.",
      "If their hosts are alive and only cut off from dnsd, clients lose servers that work."],
    work: async () => {
      const answer = await request(servicePath(service) + "/guard", { method: "DELETE" });
      return "The guard of " + service + " is released: " + await words(answer);
    },
    done: () => world.events.ask(),
  });
}
