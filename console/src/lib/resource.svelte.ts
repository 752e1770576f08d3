import { Problem, staleUntil } from "./api";
import { connection } from "./connection.svelte";
import { session } from "./session.svelte";

// What a screen shows of one question. A late answer never replaces a newer one, and leaving hangs up, so the server stops the query.
export class Resource<T> {
  data = $state<T | undefined>(undefined);
  problem = $state<Problem | undefined>(undefined);
  loading = $state(false);
  at = $state(0);
  stale = $state<string | undefined>(undefined); // see `staleUntil`
  #controller: AbortController | undefined;
  #ask: ((signal: AbortSignal) => Promise<T>) | undefined;

  async ask(question: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.#ask = question;
    this.#controller?.abort();
    const controller = (this.#controller = new AbortController());
    this.loading = true;
    try {
      const found = await question(controller.signal);
      if (controller !== this.#controller) return;
      this.data = found;
      this.stale = staleUntil(controller.signal);
      this.problem = undefined;
      this.at = Date.now();
    } catch (error) {
      if (controller !== this.#controller || (error as Error).name === "AbortError") return;
      this.problem = error instanceof Problem ? error : new Problem(0, String(error));
    }
    this.loading = false;
  }
  again = (): void => void (this.#ask && this.ask(this.#ask));
  stop = (): void => {
    this.#controller?.abort();
    this.#controller = undefined;
    this.loading = false;
  };
  clear(): void {
    this.data = this.problem = undefined;
  }
}

// Ask whenever what the question depends on changes, when the connection is back, and again every so often while the tab can be seen.
export function asking<T>(question: (signal: AbortSignal) => Promise<T>, everyMs = 0): Resource<T> {
  const resource = new Resource<T>();
  $effect(() => {
    void connection.turn;
    void session.now?.id; // whoever has logged in again may be answered now
    void resource.ask(question);
    const timer = everyMs ? setInterval(() => document.hidden || resource.loading || resource.again(), everyMs) : 0;
    return () => {
      clearInterval(timer);
      resource.stop();
    };
  });
  return resource;
}
