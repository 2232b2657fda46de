// The processes that answer, where there are several: which, since when, and how the queries are shared out.

import { h } from "./tree.js";
import { cell, heading, line, pill, section, table } from "./pieces.js";
import { duration, number, share, some } from "./words.js";

function workerRow(one, all, now) {
  return line(String(one.number),
    h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, `Worker ${one.number}`), h("span", { class: "soft block" }, `process ${one.pid}`)),
    cell("State", { class: "state" }, one.answers ? pill("good", "answers") : pill("warn", "does not answer yet")),
    cell("For", null, duration(now - one.since)),
    cell("Queries", { class: "number" }, number(one.queries), all ? h("span", { class: "soft block" }, share(one.queries, all)) : null));
}

export function workersView(status, now) {
  if (!status.workers?.length) return null;
  const all = status.workers.reduce((sum, one) => sum + one.queries, 0);
  const replaced = status.workers_replaced;
  return section("workers", "Workers", null,
    table("Workers", "targets", [heading("Worker"), heading("State"), heading("For"), heading("Queries", { class: "number" })],
      status.workers.map((one) => workerRow(one, all, now))),
    replaced ? h("p", { class: "soft" }, `${some(replaced, "worker was", "workers were")} replaced since the start.`) : null);
}
