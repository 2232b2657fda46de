// The page put together: what the process tells comes in, and is shown as long as the page is open.
// Nothing here changes the process: the page holds no token and sends no order.

import { Samples } from "./history.js";
import { fill, h } from "./tree.js";
import { recordsView } from "./records.js";
import { cacheView, failoversView, groupsView, queriesView, roundsView, serversView, verdictView, zonesView } from "./views.js";
import { clock, duration, verdict } from "./words.js";
import { workersView } from "./workers.js";

// The server says something each 10 s. Without a word for longer nobody is there.
const SILENCE_MS = 25_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_EVENT = 8_000_000;

const COLOURS = { good: "#1a7f4b", warn: "#c98a12", bad: "#c0362c", idle: "#7a828a" };
const at = (id) => document.getElementById(id);
const seconds = () => Date.now() / 1000;

const samples = new Samples();
const open = new Set();
let status = null;
let received = 0;
// Since when there is no news, and why: "" where the connection is lost.
let lost = null;
let hung = "";
let chosen = null;
let due = false;

/** The time at the process: that of the last picture, and what went by here since then. */
function processNow() {
  const passed = lost === null ? (performance.now() - received) / 1000 : 0;
  return status.taken + Math.max(0, passed);
}

function take(next) {
  if (next?.format !== 1) throw new Error("a picture of another form: reload the page");
  if (status && next.pid === status.pid && next.started === status.started && next.taken < status.taken) return;
  status = next;
  received = performance.now();
  samples.add(next);
  const said = verdict(next);
  document.title = `${said.text.split(/[:.]/)[0]} · ${next.host} · consulfwd`;
  icon(said.level);
}

function icon(level) {
  const colour = COLOURS[level];
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${colour}"/></svg>`;
  const href = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  if (at("icon").getAttribute("href") !== href) at("icon").setAttribute("href", href);
}

/** Draw with the next frame, however much comes until then. */
function soon() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  if (document.hidden) return;
  const live = lost === null;
  document.body.classList.toggle("stale", !live);
  fill(at("live"), [h("i", { class: `dot ${live ? (status ? "on" : "") : "off"}`, "aria-hidden": "true" }), live ? (status ? "Live" : "Connecting") : "Not live"]);
  fill(at("lost"), live ? [] : [h("p", null, h("strong", null, hung ? `No news since ${clock(lost, seconds())}: ${hung}.` : `Connection lost since ${clock(lost, seconds())}.`), status ? " What is shown is as it was before. It is tried again." : " It is tried again.")]);
  if (!status) {
    fill(at("main"), [h("p", { class: "waiting" }, live ? "Asking the process how it is…" : "Nothing is known yet.")]);
    return;
  }
  const now = processNow();
  const resolver = status.resolver;
  fill(at("where"), [h("span", null, status.host), h("span", { class: "soft" }, status.verb)]);
  fill(at("main"), [
    verdictView(status, verdict(status), now),
    resolver ? [groupsView(status), serversView(status, now), failoversView(status, now, chosen, open), queriesView(status, samples, now, live), cacheView(status, now, open)] : null,
    recordsView(status, now),
    workersView(status, now),
    zonesView(status, now),
    roundsView(status, now),
  ]);
  // What a visitor may have set himself is a property, not an attribute.
  for (const one of document.querySelectorAll("input[data-window]")) one.checked = one.dataset.on === "true";
  fill(at("foot"), [
    h("p", null, `consulfwd ${status.version}${resolver ? (resolver.compiled ? ", compiled fast lane" : ", in Python alone") : ""}, process ${status.pid}, started ${clock(status.started, now)} (${duration(now - status.started)} ago). As of `, h("time", { datetime: new Date(status.taken * 1000).toISOString() }, clock(status.taken, now)), "."),
    h("p", null, "This page changes nothing. The same for scripts: ", h("a", { href: "/status.json" }, "status.json"), ", ", h("a", { href: "/metrics" }, "metrics"), "."),
  ]);
}

/** Read server-sent events: only what this server sends of them, and within bounds. */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text += value.replaceAll("\r", "");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    if (text.length > LONGEST_EVENT) throw new Error("an event without an end");
    for (const block of blocks) {
      const lines = block.split("\n");
      const name = lines.find((one) => one.startsWith("event:"))?.slice(6).trim();
      const data = lines.filter((one) => one.startsWith("data:")).map((one) => one.slice(5)).join("\n");
      if (data && (name === "status" || name === "fault")) yield { name, told: JSON.parse(data) };
    }
  }
}

/** Take the news as they come; return, or raise, when no more do. */
async function listen(heardOf) {
  const ending = new AbortController();
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => ending.abort(), SILENCE_MS);
  };
  heard();
  try {
    const reply = await fetch("/events", { signal: ending.signal, cache: "no-store", headers: { accept: "text/event-stream" } });
    if (!reply.ok) throw new Error(`the server says ${reply.status}`);
    for await (const { name, told } of events(reply.body, heard)) {
      if (name === "status") take(told);
      heardOf(name === "fault" ? String(told.error) : "");
      soon();
    }
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}

/** There are no news from now on, if there were any. */
function none(why) {
  lost ??= seconds();
  hung = why;
  samples.missed();
}

let wake = () => {};
const pause = (ms) => new Promise((go) => {
  const timer = setTimeout(go, ms);
  wake = () => { clearTimeout(timer); go(); };
});

async function follow() {
  for (let failed = 0; ; failed += 1) {
    try {
      await listen((fault) => {
        failed = 0;
        // The server answers for a process that does not.
        if (fault) none(fault);
        else lost = null;
      });
    } catch {
      // However it ended, it is tried again.
    }
    none("");
    draw();
    await pause(Math.min(FIRST_PAUSE_MS * 2 ** failed, LONGEST_PAUSE_MS));
  }
}

function themes() {
  const root = document.documentElement;
  for (const one of at("themes").querySelectorAll("input")) {
    one.checked = one.value === (root.dataset.theme ?? "auto");
    one.addEventListener("change", () => {
      if (one.value === "auto") delete root.dataset.theme;
      else root.dataset.theme = one.value;
      try {
        if (one.value === "auto") localStorage.removeItem("theme");
        else localStorage.setItem("theme", one.value);
      } catch {
        // Then it is for this visit.
      }
    });
  }
}

document.addEventListener("change", (event) => {
  if (event.target.dataset?.window) {
    chosen = event.target.dataset.window;
    draw();
  }
});
document.addEventListener("click", (event) => {
  const id = event.target.closest?.("[data-more]")?.dataset.more;
  if (!id) return;
  if (!open.delete(id)) open.add(id);
  draw();
});
document.addEventListener("visibilitychange", () => { wake(); draw(); });
addEventListener("online", () => wake());
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
// Times that are told as durations go on without news.
setInterval(() => { if (status && lost === null) draw(); }, 1000);

themes();
draw();
follow();
