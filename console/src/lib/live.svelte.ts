// One stream of /api/v1/live: read by fetch, which tells the status that EventSource hides. Resumes by Last-Event-ID.
import { headers, Problem, searchOf, tellExpired } from "./api";

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
export interface Handler {
  events(rows: Row[], counts: Record<string, number>): void;
  refused(refusal: Refusal): void;
  reset(): void;
  state(state: "open" | "lost", problem?: Problem): void;
}

const SILENT_MS = 40_000; // a comment comes every 15 s

export function watch(query: Record<string, string>, handler: Handler): () => void {
  let closed = false;
  let lastId = "";
  let controller = new AbortController();
  let pauseMs = 500;

  async function once(): Promise<void> {
    controller = new AbortController();
    const response = await fetch(`/console/api/v1/live${searchOf(query)}`, {
      headers: { ...headers(), ...(lastId ? { "Last-Event-ID": lastId } : {}) },
      signal: controller.signal,
    });
    if (!response.ok || !response.body) {
      if (response.status === 401) tellExpired();
      const said = await response.json().catch(() => ({}));
      throw new Problem(response.status, said.detail ?? response.statusText);
    }
    handler.state("open");
    pauseMs = 500;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const timer = setTimeout(() => controller.abort(), SILENT_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      text += value;
      let end: number;
      while ((end = text.indexOf("\n\n")) >= 0) {
        message(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  function message(lines: string): void {
    let event = "message";
    let data = "";
    for (const line of lines.split("\n")) {
      if (line.startsWith("id: ")) lastId = line.slice(4);
      else if (line.startsWith("event: ")) event = line.slice(7);
      else if (line.startsWith("data: ")) data = line.slice(6);
    }
    if (!data) return;
    const found = JSON.parse(data);
    if (event === "refused") handler.refused(found);
    else if (event === "reset") handler.reset();
    else handler.events(found.events, found.counts);
  }

  async function run(): Promise<void> {
    while (!closed) {
      try {
        await once();
        if (!closed) handler.state("lost");
      } catch (error) {
        if (closed) return;
        const problem = error instanceof Problem ? error : undefined;
        handler.state("lost", problem);
        if (problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429) return;
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(pauseMs * 2, 8000);
    }
  }
  void run();

  return () => {
    closed = true;
    controller.abort();
  };
}
