// Reads one stream of /api/v1/live by fetch, which tells the status that EventSource hides. Resumes by Last-Event-ID.
import { headers, Problem, tellExpired } from "./api";
import { reached, unreached } from "./connection.svelte";

export interface Message {
  event: string;
  id: string; // of the stream after it
  data: any;
}

const SILENT_MS = 40_000; // a comment comes every 15 s
const SLOTS = 4; // of the six connections that a browser gives a host

// Until it ends or fails; rejects with a Problem if the server has refused it.
export async function read(search: string, lastId: string, signal: AbortSignal, opened: () => void, told: (message: Message) => void): Promise<void> {
  const silence = new AbortController();
  const response = await fetch(`/console/api/v1/live${search}`, {
    headers: { ...headers(), ...(lastId ? { "Last-Event-ID": lastId } : {}) },
    signal: AbortSignal.any([signal, silence.signal]),
  }).catch((error: Error) => {
    if (error.name !== "AbortError") unreached();
    throw error;
  });
  reached();
  if (!response.ok || !response.body) {
    if (response.status === 401) tellExpired();
    const said = await response.json().catch(() => ({}));
    throw new Problem(response.status, said.detail ?? response.statusText, Number(response.headers.get("Retry-After")) || 0);
  }
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENT_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    text += value;
    let end: number;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const message = parse(text.slice(0, end), lastId);
      lastId = message.id;
      if (message.data !== undefined) told(message);
      text = text.slice(end + 2);
    }
  }
}

function parse(lines: string, lastId: string): Message {
  const found: Message = { event: "message", id: lastId, data: undefined };
  for (const line of lines.split("\n")) {
    if (line.startsWith("id: ")) found.id = line.slice(4);
    else if (line.startsWith("event: ")) found.event = line.slice(7);
    else if (line.startsWith("data: ")) found.data = JSON.parse(line.slice(6));
  }
  return found;
}

// At most SLOTS streams in all tabs of this browser: the rest of its connections are for everything else. `waits` is told if all are taken.
export async function inSlot(work: () => Promise<void>, signal: AbortSignal, waits: () => void): Promise<void> {
  if (!navigator.locks) return await work(); // plain HTTP from elsewhere has no locks
  for (let slot = 0; slot < SLOTS; slot++) {
    const done = await navigator.locks.request(`headrace stream ${slot}`, { ifAvailable: true }, async (lock) => {
      if (lock) await work();
      return lock !== null;
    });
    if (done) return;
  }
  waits();
  await navigator.locks.request(`headrace stream ${Math.floor(Math.random() * SLOTS)}`, { signal }, work);
}
