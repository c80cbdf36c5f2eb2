// A browser has six connections to a server for all its windows, unless both speak HTTP/2. A
// stream of changes keeps one, so only some windows keep their stream; the others take turns.
// The windows ask each other by a BroadcastChannel. They have no leader: one that answers
// late is heard late, and the window that asked gives way then.

// most is how many windows keep a stream. The other connections are for pages that load and
// for requests.
const most = 3;

// listen is how long the others have time to answer, in milliseconds.
const listen = 100;

const shared = !/^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol);

export class Turns {
  // over is called when this window must not keep its stream any more.
  constructor(over) {
    this.me = Math.random();
    this.asks = this.keeps = false;
    this.others = new Set(); // that keep a stream, or come first
    this.channel = new BroadcastChannel("rollcall-streams");
    this.channel.onmessage = ({ data: { asks, to, from } }) => {
      if (to === this.me || this.asks && asks < this.me) this.others.add(from);
      else if (asks && (this.keeps || this.asks)) this.channel.postMessage({ to: asks, from: this.me });
      if (!this.keeps || this.others.size < most) return;
      this.keeps = false;
      over();
    };
  }

  // keep says whether this window may keep a stream.
  async keep() {
    this.keeps = !shared;
    if (this.keeps) return true;
    this.others.clear();
    this.asks = true;
    this.channel.postMessage({ asks: this.me, from: this.me });
    await new Promise(done => setTimeout(done, listen));
    this.asks = false;
    return this.keeps = this.others.size < most;
  }

  // leave says that this window has no stream.
  leave() { this.keeps = false; }
}
