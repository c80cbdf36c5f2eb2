// Elements from values, and texts for times and numbers. Text goes into textContent only.

import { now } from "./clock.js";

// el makes an element: el("td", {class: "num"}, "7", child).
export function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "class") e.className = value;
    else if (name === "hidden" || name === "disabled" || name === "autofocus") e[name] = value;
    else e.setAttribute(name, value);
  }
  for (const c of children) if (c !== undefined && c !== null) e.append(c);
  return e;
}

// say sets the text of an element if it differs, so that nothing is laid out for nothing.
export function say(e, text) {
  text = String(text);
  if (e.textContent !== text) e.textContent = text;
}

// link makes a link within the page. Names are parts of the address, so they are encoded.
export const serviceLink = name => "#/s/" + encodeURIComponent(name);

// seconds reads a duration as the API has it: "1m30s".
export function seconds(text) {
  let s = 0;
  for (const [, n, unit] of String(text || "").matchAll(/([\d.]+)(h|ms|µs|ns|m|s)/g)) {
    s += n * { h: 3600, m: 60, s: 1, ms: 1e-3, "µs": 1e-6, ns: 1e-9 }[unit];
  }
  return s;
}

// span is a number of seconds for people.
export function span(s) {
  if (s < 9.95) return Math.max(0, s).toFixed(1) + " s";
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  if (s < 48 * 3600) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " days";
}

// ago is the time since a date of dnsd's clock.
export const ago = date => span((now() - date) / 1000) + " ago";

// clock is a time of today, or a date and a time.
export function clock(date) {
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  if (date.toDateString() === new Date(now()).toDateString()) return time;
  return date.toLocaleDateString([], { month: "short", day: "numeric" }) + " " + time;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = n => whole.format(n);

// rate is a number a second.
export function rate(n) {
  if (n === undefined) return "–";
  return n < 10 && n > 0 ? n.toFixed(1) : whole.format(n);
}

// address joins a host and a port, as it is dialled.
export const address = i => (i.host.includes(":") ? "[" + i.host + "]" : i.host) + ":" + i.port;

// highest is the greatest priority that dnsd publishes for an instance that is not suspect.
const highest = 65519;

// priority is that which an instance registered, with what DNS has in its place.
export const priority = i => i.priority + (i.state === "suspect" ? ", last in DNS" : i.state !== "drained" && i.priority > highest ? ", " + highest + " in DNS" : "");

// badge is a word with a colour for a state or for what happened.
export function badge(word, kind) {
  return el("span", { class: "badge " + (kind || word) }, word);
}

// soon calls f at most once in a time, at its end, and not while the page is hidden.
export function soon(f, ms) {
  let timer = 0;
  return () => {
    if (!timer) timer = setTimeout(() => { timer = 0; f(); }, ms);
  };
}

// breathe lets the browser draw and take input between two parts of a long work.
export const breathe = () => new Promise(done => setTimeout(done));
