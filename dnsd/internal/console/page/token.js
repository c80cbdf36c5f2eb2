// The token: it is asked for, kept in sessionStorage until the tab is closed, and forgotten
// on request. It goes into the header Authorization, and nowhere else.
import { el } from "./dom.js";

const place = "rollcall-token";
let dialog, input, reason;

export const token = () => sessionStorage.getItem(place) || "";

// held is a signal that is aborted when there is another token, or none any more.
let holding = new AbortController();
export const held = () => holding.signal;

// changed calls f whenever there is another token, or none any more.
const watchers = [];
export const changed = f => watchers.push(f);

function set(value) {
  if (value) sessionStorage.setItem(place, value);
  else sessionStorage.removeItem(place);
  holding.abort(new DOMException("The token was changed before the answer came.", "AbortError"));
  holding = new AbortController();
  for (const f of watchers) f();
}

function build() {
  reason = el("p", { id: "token-reason" });
  input = el("input", { type: "password", autocomplete: "off", spellcheck: "false", "aria-label": "Token", "aria-describedby": "token-reason" });
  const use = () => {
    const value = input.value.trim();
    if (!value) return input.focus();
    if (/[^!-~]/.test(value)) {
      reason.textContent = "This is no token: it has a blank or a character that is not ASCII.";
      return input.focus();
    }
    input.value = "";
    dialog.close();
    set(value);
  };
  input.addEventListener("keydown", e => { if (e.key === "Enter") use(); });
  const forget = el("button", { type: "button", class: "danger", onclick: () => { dialog.close(); set(""); } }, "Forget it");
  dialog = el("dialog", { "aria-labelledby": "token-title", class: "small" },
    el("h2", { id: "token-title" }, "Token"), reason, input,
    el("p", { class: "soft" }, "It stays in this tab until the tab is closed. To look around it needs read for *; to act, admin or write."),
    el("div", { class: "buttons" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Close"), forget,
      el("button", { type: "button", class: "main", onclick: use }, "Use it")));
  dialog.forget = forget;
  document.body.append(dialog);
}

// ask opens the dialog, unless it is open. why is what the server said.
export function ask(why) {
  if (!dialog) build();
  reason.textContent = why || (token() ? "A token is in use. Another one replaces it." : "No token is in use.");
  dialog.forget.hidden = !token();
  if (!dialog.open) {
    for (const other of document.querySelectorAll("dialog[open]")) other.close();
    dialog.showModal();
    input.focus();
  }
}
