// Small pictures, as SVG. Each says in words what it shows.

import { h } from "./tree.js";
import { milliseconds, rate } from "./words.js";

const round = (value) => Math.round(value * 10) / 10;

const MARKS = {
  good: "M5 8.3l2.1 2.1L11.2 6",
  warn: "M8 4.6v4M8 11v.4",
  bad: "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8",
  idle: "M5 8h6",
};

/** A mark that differs by its form as well as by its colour: a disc, triangle, square or ring. */
export function mark(level, size = 16) {
  const outlines = {
    good: h("circle", { class: "body", cx: 8, cy: 8, r: 7 }),
    warn: h("path", { class: "body", d: "M8 .9 15.6 14.4H.4z" }),
    bad: h("rect", { class: "body", x: 1.2, y: 1.2, width: 13.6, height: 13.6, rx: 3 }),
    idle: h("circle", { class: "body", cx: 8, cy: 8, r: 6.2 }),
  };
  return h(
    "svg",
    { key: `mark ${level}`, class: `mark ${level}`, viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" },
    outlines[level],
    h("path", { class: "sign", d: level === "warn" ? "M8 5.6v4.2M8 11.9v.3" : MARKS[level] }),
  );
}

/** Round-trip times, the newest right; a tick at the ground where there was no reply. */
export function spark(times, name) {
  const [width, height, ground] = [112, 26, 23];
  const known = times.filter((one) => one !== null);
  if (!known.length) return h("span", { class: "soft" }, times.length ? "no replies" : "not asked yet");
  const most = Math.max(...known, 0.0005);
  // Few are not stretched over all of it.
  const step = (width - 6) / Math.max(times.length - 1, 23);
  const points = times.map((one, at) => [
    round(width - 3 - (times.length - 1 - at) * step),
    one === null ? null : round(ground - 2 - (one / most) * (ground - 5)),
  ]);
  let line = "";
  let pen = "M";
  for (const [x, y] of points) {
    // One that stands alone is a dot.
    if (y !== null) line += `${pen}${x} ${y}${pen === "M" ? "h0" : ""}`;
    pen = y === null ? "M" : "L";
  }
  const silent = points.filter(([, y]) => y === null);
  const last = points.at(-1);
  const least = Math.min(...known);
  const words =
    `Round trips of ${name}: ${milliseconds(least)} to ${milliseconds(most)}` +
    (silent.length ? `; no reply in ${silent.length} of ${times.length} spans of time` : "");
  return h(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words },
    h("path", { class: "curve", d: line }),
    silent.map(([x]) => h("path", { class: "silent", d: `M${x} ${ground - 1}V${ground + 2}` })),
    last[1] === null ? null : h("circle", { class: "now", cx: last[0], cy: last[1], r: 2.2 }),
  );
}

/** A scale's end: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value) ?? value;
}

/** `rates` ({from, to, queries, asked}) over the last `span` seconds before `now`. */
export function flow(rates, now, span) {
  const [width, height] = [600, 120];
  const top = ceiling(Math.max(...rates.map((one) => one.queries), 1) * 1.02);
  const x = (at) => round(((Math.max(at, now - span) - now + span) / span) * width);
  const y = (value) => round(height - (value / top) * (height - 2));
  // Second after second makes a line through their middles; what held for longer is level.
  const level = (one) => one.to - one.from > 3;
  const curve = (of) => rates.map((one, at) => {
    const from = level(one) || at === 0 ? `L${x(one.from)} ${y(of(one))}` : "";
    const to = level(one) || at === rates.length - 1 ? `L${x(one.to)} ${y(of(one))}` : "";
    return `${from}${from && to ? "" : `L${x((one.from + one.to) / 2)} ${y(of(one))}`}${to}`;
  }).join("");
  const drawn = (kind, of) => {
    if (!rates.length) return null;
    const path = curve(of).slice(1);
    const [begin, end] = [x(rates[0].from), x(rates.at(-1).to)];
    return [
      h("path", { class: `area ${kind}`, d: `M${begin} ${height}L${path}L${end} ${height}Z` }),
      h("path", { class: `line ${kind}`, d: `M${path}` }),
    ];
  };
  const newest = rates.at(-1);
  const words = newest
    ? `Queries a second over the last five minutes: ${rate(newest.queries)} now, ${rate(Math.max(...rates.map((one) => one.queries)))} at most`
    : "Queries a second: nothing is known yet";
  return {
    top,
    picture: h(
      "svg",
      { class: "flow", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
      [0.5, 60.5, 119.5].map((at) => h("path", { class: "grid", d: `M0 ${at}H${width}` })),
      drawn("all", (one) => one.queries),
      drawn("asked", (one) => one.asked),
    ),
  };
}

/** Parts of a whole ({name, value, kind}) side by side. */
export function parts(all, words) {
  const whole = all.reduce((sum, one) => sum + one.value, 0);
  let left = 0;
  return h(
    "svg",
    { class: "parts", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": words },
    h("rect", { class: "none", x: 0, y: 0, width: 1000, height: 10 }),
    all.map((one) => {
      const width = whole ? (one.value / whole) * 1000 : 0;
      const box = h("rect", { class: one.kind, x: round(left), y: 0, width: round(Math.max(width - 2, 0)), height: 10 });
      left += width;
      return box;
    }),
  );
}

// The worse, the higher: it is to be seen without its colour, too.
const HEIGHTS = { up: 6, suspect: 13, probing: 13, down: 22 };

/** How one server was: `spans` ({from, to, state, words}) between two times. */
export function lane(spans, begin, end, words) {
  const x = (at) => ((Math.min(Math.max(at, begin), end) - begin) / (end - begin)) * 1000;
  return h(
    "svg",
    { class: "lane", viewBox: "0 0 1000 24", preserveAspectRatio: "none", role: "img", "aria-label": words },
    h("path", { class: "ground", d: "M0 23.5H1000" }),
    spans.map((one) => {
      const height = HEIGHTS[one.state] ?? 13;
      // What was short is to be seen all the same.
      const width = Math.max(x(one.to) - x(one.from), one.state === "up" ? 0 : 4);
      const left = Math.min(x(one.from), 1000 - width);
      return h("rect", { class: `is-${one.state}`, x: round(left), y: 24 - height, width: round(width), height }, h("title", null, one.words));
    }),
  );
}
