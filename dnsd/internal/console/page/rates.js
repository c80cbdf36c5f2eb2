// What happens a second, from the counters of /metrics, and what else only they know.
import { text, report } from "./api.js";

// counters are what is shown, by the metrics whose sums they are.
const counters = {
  renewals: ["rollcall_registry_renewed_total"],
  changes: ["rollcall_registry_registered_total", "rollcall_registry_deregistered_total", "rollcall_registry_expired_total", "rollcall_registry_proven_dead_total"],
  lost: ["rollcall_registry_expired_total", "rollcall_registry_proven_dead_total"],
  late: ["rollcall_registry_renewed_late_total"],
  answers: ["rollcall_dns_answers_total"],
};

// parse sums the metrics by name, and keeps those of some labels.
export function parse(body) {
  const sums = new Map(), labels = new Map();
  for (const line of body.split("\n")) {
    if (!line || line[0] === "#") continue;
    const m = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
    if (!m) continue;
    const value = Number(m[3]);
    sums.set(m[1], (sums.get(m[1]) || 0) + value);
    if (m[1] === "rollcall_registry_instances" || m[1] === "rollcall_build_info") labels.set(m[1] + m[2], value);
  }
  return { sums, labels };
}

// Rates asks for the metrics and remembers the sums of the last time.
export class Rates {
  constructor() {
    this.second = {}; // by name; undefined: not known yet
    this.listeners = [];
  }

  onChange(f) { this.listeners = [f]; } // of the view that is open

  // reset forgets all that the metrics said.
  reset() {
    this.pause();
    this.sick = this.started = this.version = this.unconfirmed = undefined;
  }

  // pause forgets the rates: the next answer is compared with the one after it.
  pause() {
    this.second = {};
    this.before = null;
  }

  async ask() {
    let now;
    try {
      now = parse(await text("/metrics"));
    } catch (e) {
      report(e);
      return e.status ? this.reset() : this.pause(); // a refusal lasts, the rest is tried again soon
    }
    const at = performance.now() / 1000;
    for (const [name, metrics] of Object.entries(counters)) {
      const sum = metrics.reduce((n, m) => n + (now.sums.get(m) || 0), 0);
      const old = this.before?.sums[name];
      // A counter that fell began again: dnsd was restarted.
      if (old !== undefined && sum >= old) this.second[name] = (sum - old) / (at - this.before.at);
      now[name] = sum;
    }
    this.before = { at, sums: Object.fromEntries(Object.keys(counters).map(n => [n, now[n]])) };
    this.unconfirmed = now.labels.get('rollcall_registry_instances{state="unconfirmed"}');
    this.sick = now.sums.get("rollcall_registry_store_sick") === 1;
    this.started = now.sums.get("process_start_time_seconds");
    for (const key of now.labels.keys()) {
      const v = /^rollcall_build_info\{.*version="([^"]*)"/.exec(key.replace(/goversion="[^"]*",?/, ""));
      if (v) this.version = v[1];
    }
    for (const f of this.listeners) f();
  }
}
