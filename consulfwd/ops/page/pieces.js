// What the parts of the page are put together of: tables that stay such, sections, states, times.

import { mark } from "./charts.js";
import { h } from "./tree.js";
import { clock, duration } from "./words.js";

export const cell = (label, attributes, ...children) => h("td", { role: "cell", "data-label": label, ...attributes }, ...children);
export const heading = (words, attributes) => h("th", { role: "columnheader", scope: "col", ...attributes }, words);
export const line = (key, ...cells) => h("tr", { role: "row", key }, ...cells);

/** A table that stays one for screen readers, too, where a narrow window shows it as blocks. */
export function table(name, kind, headings, rows) {
  return h(
    "table",
    { role: "table", class: kind, "aria-label": name },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings)),
    h("tbody", { role: "rowgroup" }, rows),
  );
}

export function section(id, title, beside, ...children) {
  return h(
    "section",
    { key: id, id, "aria-labelledby": `${id}-title` },
    h("div", { class: "head" }, h("h2", { id: `${id}-title` }, title), beside),
    ...children,
  );
}

export const pill = (level, words) => h("span", { class: `pill ${level}` }, mark(level), h("span", null, words));
export const moment = (at, now, seconds) => h("time", { datetime: new Date(at * 1000).toISOString() }, clock(at, now, seconds));
export const ago = (at, now) => h("time", { datetime: new Date(at * 1000).toISOString(), title: clock(at, now) }, `${duration(now - at)} ago`);
