// Names that move with health: what each is answered with, why, and how its addresses are.

import { mark } from "./charts.js";
import { h } from "./tree.js";
import { ago, cell, heading, line, pill, section, table } from "./pieces.js";
import { duration, milliseconds, number, some } from "./words.js";

const MOST = 50;

function state(one) {
  if (one.forced) return pill("idle", `forced ${one.forced}`);
  if (one.up === null) return pill("warn", "not known");
  return one.up ? pill("good", "up") : pill("bad", "down");
}

function addressRow(one, now) {
  const level = { ok: "good", fail: "bad" }[one.result] ?? "warn";
  return line(`${one.pool} ${one.address}`,
    h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, one.address), h("span", { class: "soft block" }, one.given ? `${one.pool}, is given` : one.pool)),
    cell("State", { class: "state" }, state(one), one.since ? h("span", { class: "soft" }, ` for ${duration(now - one.since)}`) : null,
      one.in_a_row ? h("span", { class: "soft block" }, `${number(one.in_a_row)} of ${number(one.needed)} checks say otherwise`) : null),
    cell("Checked", null, one.checked ? ago(one.checked, now) : h("span", { class: "soft" }, "not yet"), one.result ? h("span", { class: "soft block" }, `in ${milliseconds(one.took)}`) : null),
    cell("Last check", null, one.result ? [mark(level), h("span", null, ` ${one.reason}`)] : h("span", { class: "soft" }, "none"),
      one.votes.length ? h("span", { class: "soft block" }, one.votes.join(", ")) : null));
}

/** How a record is, in level and words: of which pool, or why not. */
function standing(one) {
  if (!one.known) return ["bad", "not answered yet"];
  if (!one.pool) return ["bad", "no pool is well"];
  return [one.place ? "warn" : "good", one.pool];
}

export function recordsView(status, now) {
  if (!status.failover?.length) return null;
  const all = status.failover.slice(0, MOST).map((one) => {
    const [level, words] = standing(one);
    const told = [];
    if (one.held) told.push(["warn", `States are held: ${one.held}`]);
    if (one.preferred) told.push(["warn", `${one.preferred} is well, and takes over ${one.back_at ? `in ${duration(Math.max(0, one.back_at - now))}` : "by order only"}`]);
    for (const force of one.forces) told.push(["idle", force]);
    const answer = one.answer.length ? one.answer.join(", ") : one.known ? "no address" : "nothing";
    return h("article", { key: one.name, class: "zone" },
      h("div", { class: "head" }, h("h3", null, one.name), pill(level, words)),
      h("p", { class: "soft" }, `Answered with ${answer}${one.since ? ` for ${duration(now - one.since)}` : ""}`, one.why ? ` · ${one.why}` : ""),
      told.length ? h("ul", { class: "told" }, told.map(([how, each]) => h("li", null, mark(how), h("span", null, each)))) : null,
      table(`Addresses of ${one.name}`, "targets", [heading("Address"), heading("State"), heading("Checked"), heading("Last check")], one.addresses.map((each) => addressRow(each, now))));
  });
  const left = Math.max(status.failover_in_all, status.failover.length) - all.length;
  return section("failover", "Failover records", null, ...all, left > 0 ? h("p", { class: "soft", key: "left" }, `And ${some(left, "record")} more.`) : null);
}
