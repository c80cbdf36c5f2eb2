// Requests to the HTTP API, and what a refusal says.
import { token, ask, held } from "./token.js";
import { heard } from "./clock.js";

// away is what a reader is told of a request without an answer.
export const away = "dnsd does not answer";

// Refusal is an answer that is an error: the server's own words, and the status.
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// Away is that an answer, or the rest of it, did not come.
class Away extends Error {}

// lost throws why an answer did not come whole: it was given up, or it is Away.
export const lost = e => { throw e.name === "AbortError" ? e : new Away(away); }; // each browser has other words

// report reports a fault of the page itself, and says whether it is one: what dnsd refuses, what
// does not come and what is given up is none.
export function report(e) {
  const own = !(e instanceof Refusal || e instanceof Away || e.name === "AbortError");
  if (own) reportError(e);
  return own;
}

// fault is what a reader is told of a fault of the page itself.
export const fault = "this page has a fault: load it again";

// wordsOfError are what a reader is told of an error. A fault of the page is reported as well.
export const wordsOfError = e => (report(e) ? fault : e.message);

// longest is how long an answer may take, in milliseconds.
const longest = 30000;

// request sends a request with the token. An error of the API becomes a Refusal. With 401
// the reader is asked for a token, unless options has quiet. What was read for another token
// than the present one is thrown away; what was done with it is told.
export async function request(path, { quiet, ...options } = {}) {
  const of = held(), sent = Date.now(), ends = [options.signal || AbortSignal.timeout(longest)];
  if (!options.method) ends.push(of);
  const headers = { ...options.headers };
  if (token()) headers.Authorization = "Bearer " + token();
  const answer = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.any(ends) }).catch(lost);
  heard(answer, sent);
  if (answer.ok || answer.status === 304) return answer;
  const problem = await answer.json().catch(() => ({}));
  const refusal = new Refusal(answer.status, problem.detail || answer.status + " " + answer.statusText);
  if (answer.status === 401 && !quiet && !of.aborted) ask(refusal.message);
  throw refusal;
}

export const json = async path => JSON.parse(await text(path));

export async function text(path) {
  const of = held(), answer = await request(path);
  return answer.text().catch(e => {
    of.throwIfAborted(); // its reason has words for a reader
    lost(e);
  });
}

// instancePath is the path of an instance.
export const instancePath = (service, id) =>
  "/v1/services/" + encodeURIComponent(service) + "/instances/" + encodeURIComponent(id);

export const servicePath = service => "/v1/services/" + encodeURIComponent(service);
