// Watches /api/v1/live. Tabs that watch the same share one stream: the tab that holds a lock reads it and tells the others.
//
// A hidden tab reads no stream. When it can be seen again it goes on from the last id it knows, so no count is lost, or follows the
// tab that reads by now; if it has missed something of that one's, its counts begin anew.
import { untrack } from "svelte";
import { Problem, searchOf } from "./api";
import { router } from "./router.svelte";
import { inSlot, read, type Message } from "./stream";

export interface Row {
  id: string;
  name: string;
  timestamp: string;
  received_at: string;
  user_id: string | null;
  value: number | null;
  source: string;
  properties: Record<string, unknown>;
  tags: Record<string, string>;
}
export interface Refusal {
  at: string;
  method: string;
  route: string;
  status: number;
  code: string;
  message: string;
  key: string | null;
  client: string | null;
}
export type Link = "open" | "lost" | "waiting" | "refused";
export interface Handler {
  events(rows: Row[], counts: Record<string, number>): void;
  refused(refusal: Refusal): void;
  reset(): void;
  state(state: Link, problem?: Problem): void;
}
// What tabs tell each other: "who reads?", the answer to that, and what the one that reads was told.
type Told =
  | { kind: "hello"; from: string }
  | { kind: "welcome"; to: string; id: string; rows: Row[]; state: Link }
  | { kind: "news"; after: string; message: Message }
  | { kind: "state"; state: Link; problem?: [number, string, number] };

const SHOWN_TO_NEW = 100;

export function watch(query: Record<string, string>, handler: Handler): () => void {
  const search = searchOf(query);
  const { project, mode } = untrack(() => router.place);
  const name = `headrace live ${project}/${mode}${search}`;
  const me = Math.random().toString(36).slice(2);
  const channel = new BroadcastChannel(name);
  let lastId = "";
  let isSynced = false;
  let isReader = false;
  let state: Link = "waiting";
  let recent: Row[] = [];
  let turn = new AbortController(); // ends when this tab is hidden or stops watching

  const say = (told: Told) => channel.postMessage(told);
  function apply({ event, id, data }: Message) {
    lastId = id;
    if (event === "refused") handler.refused(data);
    else if (event === "reset") handler.reset();
    else {
      recent = [...data.events, ...recent].slice(0, SHOWN_TO_NEW);
      handler.events(data.events, data.counts);
    }
  }
  function become(to: Link, problem?: Problem) {
    state = to;
    handler.state(to, problem);
    if (isReader) say({ kind: "state", state: to, problem: problem && [problem.status, problem.message, problem.retryAfter] });
  }

  channel.onmessage = ({ data: told }: MessageEvent<Told>) => {
    if (told.kind === "hello") {
      if (isReader) say({ kind: "welcome", to: told.from, id: lastId, rows: recent, state });
    } else if (isReader) return;
    else if (told.kind === "welcome") {
      if (told.to !== me) return;
      if (told.id !== lastId || !isSynced) {
        if (lastId) handler.reset();
        lastId = told.id;
        recent = told.rows;
        handler.events(told.rows, {});
      }
      isSynced = true;
      become(told.state);
    } else if (told.kind === "state") become(told.state, told.problem && new Problem(...told.problem));
    else if (isSynced && told.after === lastId) apply(told.message);
    else say({ kind: "hello", from: me });
  };

  async function readOn(signal: AbortSignal): Promise<void> {
    isReader = isSynced = true;
    let pauseMs = 500;
    try {
      while (!signal.aborted) {
        try {
          const opened = () => ((pauseMs = 500), become("open"));
          const told = (message: Message) => {
            const after = lastId;
            apply(message);
            say({ kind: "news", after, message });
          };
          await inSlot(() => read(search, lastId, signal, opened, told), signal, () => become("waiting"));
          if (!signal.aborted) become("lost");
        } catch (error) {
          if (signal.aborted) return;
          const problem = error instanceof Problem ? error : undefined;
          const isFinal = problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429;
          become(isFinal ? "refused" : "lost", problem);
          if (isFinal) return;
          pauseMs = Math.max(pauseMs, 1000 * (problem?.retryAfter ?? 0));
        }
        await rest(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, 8000);
      }
    } finally {
      isReader = false;
    }
  }
  // Over at once when the tab stops watching: whoever reads holds the lock that the next one waits for.
  function rest(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
  function begin(): void {
    const { signal } = (turn = new AbortController());
    say({ kind: "hello", from: me });
    if (navigator.locks) navigator.locks.request(name, { signal }, () => readOn(signal)).catch(() => {}); // aborted while it waited
    else void readOn(signal);
  }
  function seen(): void {
    turn.abort();
    if (!document.hidden) begin();
  }
  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) begin();

  return () => {
    document.removeEventListener("visibilitychange", seen);
    turn.abort();
    channel.close();
  };
}
