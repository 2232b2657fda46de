// How things are said: numbers, times, and the one sentence that says how it is. Knows no document.

const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const DAY_S = 86400;
const LONGEST = 110;

export const number = (value) => NUMBER.format(Math.round(value));
export const short = (value) => (value < 10000 ? number(value) : SHORT.format(value));
export const some = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** A rate a second; the first digits of a small one count. */
export function rate(value) {
  if (value >= 9.95 || value < 0.005) return number(value);
  return value >= 0.995 ? value.toFixed(1) : value.toFixed(2);
}

export function share(part, whole) {
  if (!(whole > 0)) return "–";
  const percent = (100 * part) / whole;
  // Almost all is not all, and almost nothing is not nothing.
  if (percent > 99.9 && percent < 100) return "99.9 %";
  if (percent > 0 && percent < 0.1) return "0.1 %";
  return percent === 0 || percent === 100 ? `${percent} %` : `${percent.toFixed(1)} %`;
}

export function milliseconds(seconds) {
  const value = seconds * 1000;
  if (value < 0.995) return `${value.toFixed(2)} ms`;
  return value < 99.5 ? `${value.toFixed(1)} ms` : `${number(value)} ms`;
}

/** "12 s", "3 min", "2 h 5 min", "4 d": as exact as anybody wants to know. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < DAY_S) {
    const minutes = Math.floor((whole % 3600) / 60);
    return `${Math.floor(whole / 3600)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  return `${Math.floor(whole / DAY_S)} d`;
}

const two = (value) => String(value).padStart(2, "0");

/** The time of day, and the day where it is another one than `now`. */
export function clock(at, now, seconds = true) {
  const [one, today] = [new Date(at * 1000), new Date(now * 1000)];
  const time = `${two(one.getHours())}:${two(one.getMinutes())}${seconds ? `:${two(one.getSeconds())}` : ""}`;
  if (one.toDateString() === today.toDateString()) return time;
  return `${one.getFullYear()}-${two(one.getMonth() + 1)}-${two(one.getDate())} ${time}`;
}

/** Names in a row, as people say them. */
export function row(names, most = 3) {
  const [first, rest] = [names.slice(0, most), names.length - most];
  if (rest > 0) return `${first.join(", ")} and ${number(rest)} more`;
  if (first.length < 2) return first.join("");
  return `${first.slice(0, -1).join(", ")} and ${first.at(-1)}`;
}

export const STATES = {
  up: { words: "up", level: "good" },
  suspect: { words: "suspect", level: "warn" },
  probing: { words: "coming back", level: "warn" },
  down: { words: "down", level: "bad" },
};

/** How a server is, in words and in level. */
export function condition(server) {
  if (server.drained) return { words: "drained", level: "idle" };
  if (server.loops) return { words: "loops back here", level: "bad" };
  return STATES[server.state] ?? { words: server.state, level: "warn" };
}

/** The faults of a zone that are not those of one target. */
export function ofNoTarget(zone) {
  return zone.faults.filter((fault) => !zone.targets.some((one) => one.fault && fault.endsWith(one.fault)));
}

/** What is in order, in words. */
function well(status) {
  if (status.resolver) {
    const parts = [];
    for (const kind of ["agent", "recursor"]) {
      const all = status.resolver.upstreams.filter((one) => one.kind === kind);
      const up = all.filter((one) => one.state === "up");
      if (all.length) parts.push(`${up.length} of ${all.length} ${kind}s`);
    }
    const drained = status.resolver.upstreams.filter((one) => one.drained).map((one) => one.name);
    const beside = drained.length ? `; ${row(drained)} ${drained.length > 1 ? "are" : "is"} drained` : "";
    return parts.length ? `${parts.join(" and ")} are up${beside}` : "it answers";
  }
  if (status.zones.length) {
    const active = status.zones.filter((one) => one.state === "active").length;
    const backup = status.zones.length - active;
    if (!active) return `${some(backup, "zone")} published elsewhere, ready to take over`;
    return `${some(active, "zone")} published${backup ? `, ${number(backup)} on stand-by` : ""}`;
  }
  return status.rounds ? "all files are in force" : "it runs";
}

/** The beginning of what is too long for a headline. */
function brief(text) {
  if (text.length <= LONGEST) return text;
  const cut = text.slice(0, LONGEST);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), LONGEST / 2)).replace(/[\s:;,(]+$/, "")}…`;
}

/** Return the level (good, warn, bad, idle), the one sentence, and each thing that is wrong. */
export function verdict(status) {
  const wrong = status.faults;
  const first = wrong.length ? brief(wrong[0]) + (wrong.length > 1 ? `; and ${number(wrong.length - 1)} more` : "") : "";
  const sentence = (head, rest) => `${head}${rest ? `: ${rest}` : ""}.`.replace(/[.…\s]+$/, (end) => (end.includes("…") ? "…" : "."));
  if (status.phase === "stopping") return { level: "idle", text: "It is stopping.", wrong };
  if (status.phase === "starting" && !status.ready) {
    return { level: "idle", text: sentence("It is starting", first), wrong };
  }
  if (!status.ready) return { level: "bad", text: sentence("Not working", first), wrong };
  if (wrong.length) {
    const head = wrong.length > 1 ? "Working, with faults" : "Working, with a fault";
    return { level: "warn", text: sentence(head, first), wrong };
  }
  return { level: "good", text: sentence("All is well", well(status)), wrong };
}
