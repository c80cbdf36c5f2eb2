// A table that shows a part of its rows, and changes only the cells whose text differs. Rows
// are known by key, so a change of one row touches one row.
import { el, say, number } from "./dom.js";

// Table has columns {name, class, text(row)} or {name, class, draw(cell, row)}; draw must
// change only what differs. key(row) tells rows apart. On a narrow screen a row becomes a
// card, and the names of the columns stand before the values.
export class Table {
  constructor({ label, columns, key, size = 100, empty = "Nothing is here." }) {
    Object.assign(this, { columns, key, size, emptyText: empty });
    this.page = 0;
    this.list = [];
    this.rows = new Map();
    this.body = el("tbody");
    this.table = el("table", { "aria-label": label },
      el("thead", {}, el("tr", {}, ...columns.map(c => el("th", { scope: "col", class: c.class }, c.name)))), this.body);
    this.empty = el("p", { class: "empty" }, empty);
    this.where = el("span", { role: "status" });
    this.before = el("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.after = el("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.pager = el("div", { class: "pager", hidden: true }, this.where, this.before, this.after);
    this.element = el("div", { class: "table" }, this.table, this.empty, this.pager);
  }

  turn(by) {
    this.page += by;
    this.draw();
    this.table.scrollIntoView({ block: "nearest" });
  }

  // show takes all rows, in order, and draws one page of them.
  show(list, empty) {
    this.list = list;
    if (empty !== undefined) say(this.empty, empty);
    this.draw();
  }

  draw() {
    const pages = Math.max(1, Math.ceil(this.list.length / this.size));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const from = this.page * this.size, part = this.list.slice(from, from + this.size);
    const kept = new Map();
    // Rows that stay are not moved because others leave: the focus and the selection stay.
    const keys = new Set(part.map(this.key));
    for (const [key, row] of this.rows) if (!keys.has(key)) row.remove();
    const held = document.activeElement;
    let next = this.body.firstChild;
    for (const item of part) {
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) row = this.make();
      kept.set(key, row);
      this.fill(row, item);
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    this.rows = kept;
    if (held !== document.activeElement && this.body.contains(held)) held.focus({ preventScroll: true });
    this.table.hidden = !part.length;
    this.empty.hidden = part.length > 0;
    this.pager.hidden = pages === 1;
    if (pages > 1) {
      say(this.where, number(from + 1) + " to " + number(from + part.length) + " of " + number(this.list.length));
      this.before.disabled = this.page === 0;
      this.after.disabled = this.page === pages - 1;
    }
  }

  make() {
    return el("tr", {}, ...this.columns.map(c => el("td", { class: c.class, "data-name": c.name })));
  }

  fill(row, item) {
    row.item = item;
    this.columns.forEach((c, i) => {
      const cell = row.children[i];
      if (c.draw) c.draw(cell, item);
      else say(cell, c.text(item));
    });
  }
}

// only replaces the content of a cell if what it shows differs.
export function only(cell, key, make) {
  if (cell.shows === key) return;
  cell.shows = key;
  cell.replaceChildren(...[make()].flat().filter(Boolean));
}
