// What is made of pictures that follow each other: rates, and how each server was. Bounded, however
// long the page is open.

export const SPAN_S = 300;
const MOST = 320;
// Pictures come when something changed, at most once a second: nothing happened in a longer pause.
const QUIET_S = 2.5;

/** The counters of the last minutes. */
export class Samples {
  #samples = [];
  #rates = [];
  #process = "";
  #apart = false;

  /** From here on pictures were missed: what the counters gained is spread over that time. */
  missed() {
    this.#apart = true;
  }

  add(status) {
    const counters = status.resolver?.counters;
    if (!counters) return;
    const process = `${status.pid} ${status.started}`;
    const last = this.#samples.at(-1);
    const anew = process !== this.#process || (last && counters.queries < last.counters.queries);
    if (anew) {
      [this.#samples, this.#rates, this.#process] = [[], [], process];
    } else if (last && status.taken - last.at < 0.2) {
      return;
    } else if (last) {
      let from = last.at;
      if (status.taken - from > QUIET_S && !this.#apart) {
        this.#rates.push({ from, to: status.taken - 1, queries: 0, asked: 0 });
        from = status.taken - 1;
      }
      const gained = (name) => Math.max(0, counters[name] - last.counters[name]) / (status.taken - from);
      this.#rates.push({ from, to: status.taken, queries: gained("queries"), asked: gained("forwarded") });
    }
    this.#apart = false;
    this.#samples.push({ at: status.taken, counters });
    while (this.#rates.length && (this.#rates[0].to < status.taken - SPAN_S || this.#rates.length > MOST)) this.#rates.shift();
    while (this.#samples.length > 1 && (this.#samples[1].at <= status.taken - SPAN_S || this.#samples.length > MOST)) this.#samples.shift();
  }

  /** Return the rates as steps up to `now`; without news nothing happened, if news would come. */
  rates(now, live) {
    const last = this.#rates.at(-1) ?? null;
    const since = this.#samples.at(-1)?.at;
    if (!live || since === undefined || now - since <= QUIET_S) return this.#rates;
    return [...this.#rates, { from: last?.to ?? since, to: now, queries: 0, asked: 0 }];
  }

  /** Return what each counter gained over the last minutes, and over how many seconds. */
  gained() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || first === last) return null;
    const gains = {};
    for (const [name, value] of Object.entries(last.counters)) gains[name] = Math.max(0, value - (first.counters[name] ?? 0));
    return { seconds: last.at - first.at, gains };
  }
}

/** Return how a server was from `begin` to `now`, as [{from, to, state}]. */
export function spans(server, changes, begin, now, started) {
  const own = changes.filter((one) => one.server === server.name && one.kind === server.kind && one.before !== one.after);
  own.sort((one, other) => one.at - other.at);
  const found = [];
  let from = Math.max(begin, started);
  let state = own.find((one) => one.at > from)?.before ?? own.at(-1)?.after ?? server.state;
  for (const one of own) {
    if (one.at <= from) continue;
    found.push({ from, to: one.at, state });
    [from, state] = [one.at, one.after];
  }
  found.push({ from, to: now, state });
  return found;
}
