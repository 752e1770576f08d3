// Counts by name over the last minute, in steps that whoever asks closes: once a second.
//
// Sums are kept as counts come and go, so that a thousand names a second cost no more than themselves.
export const WINDOW_S = 60;
const NAMES = 2000; // known at once; further ones are counted under "", as the server does
type Counts = Map<string, number>;

export class Minute {
  #closed: { at: number; counts: Counts }[] = []; // the oldest first; at: when it was closed
  #open: Counts = new Map();
  #sums: Counts = new Map();

  add(counts: Record<string, number>): void {
    for (const name in counts) {
      const under = this.#sums.has(name) || this.#sums.size < NAMES ? name : "";
      raise(this.#open, under, counts[name]);
      raise(this.#sums, under, counts[name]);
    }
  }
  step(now: number): void {
    if (this.#open.size) this.#closed.push({ at: now, counts: this.#open });
    this.#open = new Map();
    while (this.#closed.length && this.#closed[0].at <= now - WINDOW_S * 1000) for (const [name, n] of this.#closed.shift()!.counts) raise(this.#sums, name, -n);
  }
  // Events a second by name; the largest first.
  rates(limit: number): { name: string; perSecond: number }[] {
    return [...this.#sums].sort((a, b) => b[1] - a[1]).slice(0, limit).map(([name, n]) => ({ name, perSecond: n / WINDOW_S }));
  }
  // Events in each second of the window; the oldest first.
  totals(now: number): number[] {
    const found = Array(WINDOW_S).fill(0);
    for (const { at, counts } of this.#closed) {
      const index = WINDOW_S - 1 - Math.round((now - at) / 1000);
      if (index >= 0) for (const n of counts.values()) found[index] += n;
    }
    return found;
  }
}

function raise(counts: Counts, name: string, by: number): void {
  const n = (counts.get(name) ?? 0) + by;
  if (n) counts.set(name, n);
  else counts.delete(name);
}
