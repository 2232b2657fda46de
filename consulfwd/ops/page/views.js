// The parts of the page, each made from a picture of the process. Nothing is looked up or kept here.

import { flow, lane, mark, parts, spark } from "./charts.js";
import { SPAN_S, spans } from "./history.js";
import { ago, cell, heading, line, moment, pill, section, table } from "./pieces.js";
import { h } from "./tree.js";
import { STATES, clock, condition, duration, milliseconds, number, ofNoTarget, rate, row, share, short, some } from "./words.js";

const FEW = 12;
const MOST = 200;

/** The first few, and a button for the rest. */
function bounded(all, id, open) {
  const shown = open.has(id) ? MOST : FEW;
  const more = all.length > FEW;
  const words = open.has(id) ? "Show fewer" : `Show all ${number(all.length)}`;
  const rest = all.length - Math.min(shown, all.length);
  return {
    shown: all.slice(0, shown),
    button: more ? h("p", { class: "more", key: "more" },
      h("button", { type: "button", "data-more": id, "aria-expanded": String(open.has(id)) }, words),
      open.has(id) && rest ? h("span", { class: "soft" }, `${number(rest)} are not shown`) : null) : null,
  };
}

export function verdictView(status, said, now) {
  const facts = [["Running for", duration(now - status.started)]];
  const resolver = status.resolver;
  if (resolver) {
    facts.push(["Answers on", row(resolver.listening, 4) || "nothing"]);
    if (resolver.missing.length) facts.push(["Waits for", row(resolver.missing, 4)]);
    facts.push(["Domain", resolver.domain]);
    if (resolver.querylog) facts.push(["Query log", resolver.querylog]);
  }
  return h(
    "section",
    { key: "verdict", class: `verdict ${said.level}`, "aria-label": "How it is" },
    h("div", { class: "sentence" }, mark(said.level, 34), h("h1", null, h("span", { id: "sentence", role: "status", "aria-live": "polite" }, said.text))),
    said.wrong.length > 1 || said.text.includes("…") ? h("ul", { class: "faults" }, said.wrong.slice(0, MOST).map((one) => h("li", null, one))) : null,
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value)))),
  );
}

function upstreamRow(one, resolver, now) {
  const how = condition(one);
  const first = resolver.groups.filter((group) => group.first === one.name).map((group) => group.label);
  const address = one.port ? (one.address.includes(":") ? `[${one.address}]:${one.port}` : `${one.address}:${one.port}`) : one.address;
  const notes = [];
  if (address !== one.name && one.address !== one.name) notes.push(address);
  notes.push(one.transport);
  const odd = [];
  if (one.drained && one.state !== "up") odd.push(STATES[one.state]?.words ?? one.state);
  if (one.drained && one.waiting) odd.push(`${some(one.waiting, "reply", "replies")} still to come`);
  if (one.behind) odd.push(`asked after the others: ${one.behind}`);
  if (one.barred) odd.push("no watches there");
  return line(
    `${one.kind} ${one.name}`,
    h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, one.name), h("span", { class: "soft" }, notes.join(" · "))),
    cell("State", { class: "state" }, pill(how.level, how.words), one.since ? h("span", { class: "soft" }, `for ${duration(now - one.since)}`) : null,
      odd.map((words) => h("span", { class: "note" }, words))),
    cell("Round trip", { class: "trip" }, spark(one.rtts, one.name), h("span", { class: "figure" }, one.rtt === null ? "" : milliseconds(one.rtt))),
    cell("Asked", { class: "asked" }, h("span", { class: "figure" }, short(one.sent)), h("span", { class: "unit" }, one.sent === 1 ? " time" : " times")),
    cell("Asked first for", { class: "first" }, first.length ? h("span", { class: "tag" }, row(first, 3)) : h("span", { class: "soft none" }, "–")),
  );
}

export function serversView(status, now) {
  const resolver = status.resolver;
  const headings = [heading("Server"), heading("State"), heading("Round trip"), heading("Asked", { class: "asked" }), heading("Asked first for")];
  const kinds = [["agent", "Agents"], ["recursor", "Recursors"]].map(([kind, title]) => {
    const all = resolver.upstreams.filter((one) => one.kind === kind);
    if (!all.length) return null;
    const up = all.filter((one) => one.state === "up").length;
    return section(`${kind}s`, title, h("p", { class: "soft" }, `${up} of ${all.length} up`),
      table(title, "servers", headings, all.slice(0, MOST).map((one) => upstreamRow(one, resolver, now))));
  });
  return kinds;
}

export function groupsView(status) {
  const resolver = status.resolver;
  if (!resolver.groups.length) return null;
  const levels = new Map(resolver.upstreams.map((one) => [one.name, condition(one)]));
  const rows = resolver.groups.slice(0, MOST).map((group) =>
    line(
      `${group.label} ${group.members.join(" ")}`,
      h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, group.label), h("span", { class: "soft" }, group.policy.replace("_", " "))),
      cell("Asked now", { class: "now" }, group.first ? h("strong", null, group.first) : pill("bad", "nobody")),
      cell("Because", { class: "why" }, group.why || "–"),
      cell("In this order", { class: "members" }, h("ol", { class: "chain" }, group.members.slice(0, FEW).map((name) => {
        const how = levels.get(name) ?? { level: "idle", words: "unknown" };
        return h("li", { class: name === group.first ? "first" : null }, mark(how.level, 12), h("span", null, name), h("span", { class: "unseen" }, ` (${how.words})`));
      }))),
    ),
  );
  return section("groups", "Who answers now", null,
    table("Who answers now", "groups", [heading("Group"), heading("Asked now"), heading("Because"), heading("As configured")], rows));
}

const WINDOWS = { hour: { seconds: 3600, words: "Hour", ticks: ["1 h ago", "45 min", "30 min", "15 min", "now"] },
  day: { seconds: 86400, words: "Day", ticks: ["1 d ago", "18 h", "12 h", "6 h", "now"] } };

/** What was chosen, or an hour if something happened in it. */
export function windowFor(status, now, chosen) {
  if (chosen) return chosen;
  const changes = status.resolver.changes;
  if (!changes.length || changes.some((one) => now - one.at < WINDOWS.hour.seconds)) return "hour";
  return "day";
}

export function failoversView(status, now, chosen, open) {
  const { changes, upstreams } = status.resolver;
  const name = windowFor(status, now, chosen);
  const span = WINDOWS[name];
  const begin = now - span.seconds;
  const recent = changes.filter((one) => one.at >= begin).sort((one, other) => other.at - one.at);
  const restless = new Set(recent.map((one) => `${one.kind} ${one.server}`));
  const ranked = [...upstreams].sort((one, other) => restless.has(`${other.kind} ${other.name}`) - restless.has(`${one.kind} ${one.name}`));
  const drawn = new Set(ranked.slice(0, FEW));
  const lanes = upstreams.filter((one) => drawn.has(one)).map((one) => {
    const told = spans(one, changes, begin, now, status.started).map((each) => ({
      ...each,
      words: `${STATES[each.state]?.words ?? each.state}, ${clock(each.from, now)} to ${clock(each.to, now)}`,
    }));
    const bad = told.filter((each) => each.state !== "up").reduce((sum, each) => sum + each.to - each.from, 0);
    const words = bad ? `${one.name} was not up for ${duration(bad)} of the last ${name}` : `${one.name} was up all of the last ${name}`;
    return h("div", { class: "track", key: `${one.kind} ${one.name}` }, h("span", { class: "main" }, one.name), lane(told, begin, now, words));
  });
  const switcher = h("fieldset", { class: "switch" }, h("legend", { class: "unseen" }, "How far back"),
    Object.entries(WINDOWS).map(([key, one]) => h("label", { key }, h("input", { type: "radio", name: "window", value: key, "data-window": key, "data-on": String(key === name) }), h("span", null, one.words))));
  const { shown, button } = bounded(recent, "failovers", open);
  const list = shown.map((one) => {
    const moved = one.before !== one.after;
    const known = STATES[one.after] ?? { words: one.after, level: "warn" };
    const before = STATES[one.before]?.words ?? one.before;
    return h("li", { key: `${one.at} ${one.kind} ${one.server} ${one.after}` },
      moment(one.at, now),
      moved ? mark(known.level) : mark("idle"),
      h("span", { class: "what" }, h("strong", null, one.server), moved ? ` ${before} → ${known.words}` : " changed its place", one.why ? [" ", h("span", { class: "soft" }, one.why)] : null));
  });
  return section("failovers", "Failovers", switcher,
    h("div", { class: "tracks" }, lanes, h("div", { class: "ticks", key: "ticks", "aria-hidden": "true" }, h("span", null, ""), h("p", null, span.ticks.map((tick) => h("span", null, tick))))),
    h("p", { class: "legend", "aria-hidden": "true" }, [["up", "up"], ["probing", "suspect or coming back"], ["down", "down"]].map(([kind, words]) =>
      h("span", { key: kind }, h("svg", { class: "key", viewBox: "0 0 10 24", width: 10, height: 20 }, h("rect", { class: `is-${kind}`, x: 0, y: { up: 18, probing: 11, down: 2 }[kind], width: 10, height: { up: 6, probing: 13, down: 22 }[kind] })), words))),
    list.length ? h("ol", { class: "changes" }, list) : h("p", { class: "soft quiet" }, `No change of health in the last ${name}.`),
    button,
  );
}

const PARTS = [
  { kind: "memory", name: "from memory", of: (one) => one.hot + one.cached },
  { kind: "joined", name: "joined to one being asked", of: (one) => one.joined },
  { kind: "asked", name: "asked of a server", of: (one) => one.forwarded },
  { kind: "own", name: "answered here, or refused", of: (one) => Math.max(0, one.queries - one.hot - one.cached - one.joined - one.forwarded) },
];

export function queriesView(status, samples, now, live) {
  const resolver = status.resolver;
  const rates = samples.rates(now, live);
  const recent = samples.gained();
  const gains = recent?.gains.queries ? recent.gains : resolver.counters;
  const over = recent?.gains.queries ? `last ${duration(recent.seconds)}` : "since start";
  const chart = flow(rates, now, SPAN_S);
  const values = PARTS.map((one) => ({ ...one, value: one.of(gains) }));
  const newest = rates.at(-1);
  const tile = (name, value, beside) => h("div", { key: name, class: "tile" }, h("dt", null, name), h("dd", null, h("span", { class: "big" }, value), h("span", { class: "soft" }, beside)));
  return section("queries", "Queries", h("p", { class: "soft" }, `${short(resolver.counters.queries)} since ${clock(status.started, now, false)}`),
    h("dl", { class: "tiles" },
      tile("Queries", newest ? rate(newest.queries) : "–", "a second"),
      tile("From memory", share(values[0].value, gains.queries), over),
      tile("Being asked", number(resolver.in_flight), "now"),
      tile("Failed", short(gains.failed), `${over}${gains.stale ? `; ${short(gains.stale)} stale` : ""}`)),
    h("figure", { class: "chart" },
      h("div", { class: "plot" }, chart.picture, h("p", { class: "scale", "aria-hidden": "true" }, [chart.top, chart.top / 2, 0].map((one) => h("span", null, short(one))))),
      h("p", { class: "axis", "aria-hidden": "true" }, ["5 min ago", "4", "3", "2", "1", "now"].map((one) => h("span", null, one))),
      h("figcaption", { class: "legend" }, h("span", null, h("i", { class: "swatch all" }), "queries a second"), h("span", null, h("i", { class: "swatch asked" }), "of these asked of a server"))),
    h("div", { class: "whole" },
      parts(values, `Where answers came from, ${over}: ${values.map((one) => `${share(one.value, gains.queries)} ${one.name}`).join(", ")}`),
      h("ul", { class: "legend" }, values.map((one) => h("li", { key: one.kind }, h("i", { class: `swatch ${one.kind}` }), `${one.name} `, h("span", { class: "figure" }, share(one.value, gains.queries)))))));
}

export function cacheView(status, now, open) {
  const { cache, watches, watches_most: most, invalidations, counters } = status.resolver;
  const weight = (one) => (one.armed ? (one.healthy < one.instances ? 1 : 2) : 0);
  const ranked = [...watches].sort((one, other) => weight(one) - weight(other) || (one.subject < other.subject ? -1 : 1));
  const { shown, button } = bounded(ranked, "watches", open);
  const rows = shown.map((one) => {
    const level = !one.instances || !one.healthy ? "bad" : one.healthy < one.instances ? "warn" : "good";
    return line(`${one.subject} ${one.carrier}`,
      h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, one.subject)),
      cell("Healthy", { class: "state" }, pill(level, `${number(one.healthy)} of ${number(one.instances)}`)),
      cell("Watch", null, one.armed ? h("span", null, `for ${duration(now - one.since)}`) : pill("warn", "not in force"), h("span", { class: "soft" }, ` at ${one.carrier}`)),
      cell("Changes", { class: "number" }, number(one.changes)),
      cell("Answers kept", { class: "number" }, number(one.questions)));
  });
  const meter = (name, value, whole, beside) => h("div", { key: name, class: "gauge" }, h("dt", null, name),
    h("dd", null, h("span", { class: "figure" }, `${number(value)} of ${number(whole)}`), parts([{ kind: "memory", value }, { kind: "none", value: Math.max(0, whole - value) }], `${name}: ${share(value, whole)} in use`), h("span", { class: "soft" }, beside)));
  return section("cache", "Cache and watches", null,
    h("dl", { class: "gauges" },
      meter("Cache", cache.entries, cache.size, `${some(cache.denials, "denial")} among them`),
      most ? meter("Watches", watches.length, most, `${short(counters.reused)} answers reused past their TTL, ${short(invalidations)} dropped for a change`)
        : h("div", { key: "Watches", class: "gauge" }, h("dt", null, "Watches"), h("dd", null, h("span", { class: "soft" }, "nothing is watched")))),
    rows.length ? table("Watches", "watches", [heading("Watched"), heading("Healthy"), heading("In force"), heading("Changes", { class: "number" }), heading("Answers kept", { class: "number" })], rows) : null,
    button);
}

const ZONE_STATES = { active: ["good", "publishes"], backup: ["idle", "stands by"], stopped: ["bad", "stopped"] };

function targetRow(one, now) {
  const withheld = one.withheld_in_all || one.withheld.length;
  return line(one.where,
    h("th", { role: "rowheader", scope: "row", class: "name" }, h("span", { class: "main" }, one.where)),
    cell("State", { class: "state" }, one.fault ? pill("bad", "fails") : one.pushed ? pill("good", "current") : pill("idle", "nothing yet"),
      one.fault ? h("span", { class: "note" }, one.fault, one.failing_since ? ` (for ${duration(now - one.failing_since)})` : null) : null),
    cell("Last push", null, one.pushed ? ago(one.pushed, now) : h("span", { class: "soft" }, "never"), one.what ? h("span", { class: "soft block" }, one.what) : null),
    cell("Serial", { class: "number" }, one.serial === null ? "–" : String(one.serial)),
    cell("Names", { class: "number" }, number(one.names), h("span", { class: "soft block" }, some(one.addresses, "address", "addresses"))),
    cell("Withheld", { class: "held" }, withheld
      ? h("details", null, h("summary", null, some(withheld, "change")), h("ul", null, one.withheld.slice(0, MOST).map((each) => h("li", null, each)),
        withheld > one.withheld.length ? h("li", { class: "soft" }, `and ${number(withheld - one.withheld.length)} more`) : null))
      : h("span", { class: "soft none" }, "nothing")));
}

export function zonesView(status, now) {
  if (!status.zones.length) return null;
  const all = status.zones.slice(0, MOST).map((zone) => {
    const [level, words] = ZONE_STATES[zone.state] ?? ["warn", zone.state];
    const told = [];
    if (zone.paused) told.push(["warn", `Paused: ${zone.paused}`]);
    if (zone.doubt) told.push(["warn", `In doubt, so nothing is withdrawn: ${zone.doubt}`]);
    for (const fault of ofNoTarget(zone)) told.push(["bad", fault]);
    const counts = [];
    if (zone.objections_in_all) counts.push(`${some(zone.objections_in_all, "name or record", "names or records")} cannot be in it`);
    if (zone.held) counts.push(`${some(zone.held, "instance")} held back`);
    return h("article", { key: `${zone.zone} ${zone.view}`, class: "zone" },
      h("div", { class: "head" }, h("h3", null, zone.zone, zone.view ? h("span", { class: "soft" }, ` in view ${zone.view}`) : null), pill(level, words)),
      h("p", { class: "soft" }, zone.holder ? `Written by ${zone.holder}${zone.since ? ` for ${duration(now - zone.since)}` : ""}` : "Nobody writes it now", counts.map((one) => ` · ${one}`)),
      told.length ? h("ul", { class: "told" }, told.map(([how, one]) => h("li", null, mark(how), h("span", null, one)))) : null,
      zone.targets.length ? table(`Targets of ${zone.zone}`, "targets", [heading("Target"), heading("State"), heading("Last push"), heading("Serial", { class: "number" }), heading("Names", { class: "number" }), heading("Withheld")],
        zone.targets.map((one) => targetRow(one, now))) : null);
  });
  return section("zones", "Zones", null, ...all);
}

export function roundsView(status, now) {
  const rounds = status.rounds;
  // A publisher's zones are told of one by one.
  if (!rounds || status.verb === "zone") return null;
  const [level, words] = rounds.failing_since ? ["bad", `fails for ${duration(now - rounds.failing_since)}`] : rounds.in_force ? ["good", "in force"] : ["warn", "not in force yet"];
  return section("files", "Files kept current", null,
    h("dl", { class: "tiles" },
      h("div", { class: "tile" }, h("dt", null, "What"), h("dd", null, rounds.what)),
      h("div", { class: "tile" }, h("dt", null, "State"), h("dd", null, pill(level, words))),
      h("div", { class: "tile" }, h("dt", null, "Last written"), h("dd", null, rounds.wrote ? ago(rounds.wrote, now) : "not since the start"))));
}
