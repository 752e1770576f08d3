// Does a piece of work soon after it was asked for, in a task of its own, and at most once in so many milliseconds.
export class Paced {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWanted = false;
  #last = -Infinity;

  constructor(
    private readonly work: () => void,
    private readonly everyMs: number,
  ) {}

  ask(): void {
    this.#isWanted = true;
    this.#timer ??= setTimeout(() => this.now(), Math.max(0, this.#last + this.everyMs - performance.now()));
  }
  // What was asked for is done at once.
  now(): void {
    const isWanted = this.#isWanted;
    this.end();
    if (!isWanted) return;
    this.#last = performance.now();
    this.work();
  }
  // Nothing is done for so long, except at once.
  putOff(ms: number): void {
    const isWanted = this.#isWanted;
    this.end();
    this.#last = performance.now() + ms - this.everyMs;
    if (isWanted) this.ask();
  }
  // What was asked for is not done.
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isWanted = false;
  }
}
