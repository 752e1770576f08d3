// Calls the API's routes below /console, for the project and mode in the address. Keeps no key: the session is in a cookie no script sees.
import { untrack } from "svelte";
import type { paths } from "../../generated/schema";
import { reached, unreached } from "./connection.svelte";
import { router } from "./router.svelte";

export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter = 0,
    readonly errors: { path: string; detail: string; line: number | null }[] = [],
  ) {
    super(message);
  }
}

// What the OpenAPI document says a route answers; `make console-check` derives the types from it.
type Methods<P extends keyof paths> = { [M in keyof paths[P]]: paths[P][M] extends { responses: unknown } ? M : never }[keyof paths[P]];
type Of<S, Code> = Code extends keyof S ? (S[Code] extends { content: infer C } ? ("application/json" extends keyof C ? C["application/json"] : never) : never) : never;
export type Reply<P extends keyof paths, M extends Methods<P> = "get" & Methods<P>> = paths[P][M] extends { responses: infer S } ? Of<S, 200> | Of<S, 201> | Of<S, 202> : never;

export interface Options<M = string> {
  method?: M;
  path?: Record<string, string>; // what the placeholders of the route stand for
  body?: unknown;
  text?: string;
  query?: Record<string, string | number | undefined>;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

// Of a question, by its signal: until when its answer is complete, where the server said that it is stale; "" if it did not say when.
const stale = new WeakMap<AbortSignal, string>();
export const staleUntil = (signal: AbortSignal): string | undefined => stale.get(signal);

export function headers(change = false): Record<string, string> {
  const found: Record<string, string> = { "X-Headrace-Console": "1" };
  // A screen is made anew for another project or mode, so its questions need not follow the address.
  const { project, mode } = untrack(() => router.place);
  if (project) found["Headrace-Project"] = project;
  if (mode) found["Headrace-Mode"] = mode;
  if (change) found["Content-Type"] = "application/json";
  return found;
}

// Where the console has a route of the API.
export const consolePath = (path: string): string => (path.startsWith("/console/") ? path : path.startsWith("/api/") ? `/console${path}` : `/console/api${path}`);

export function searchOf(query: Options["query"] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "") as [string, string][];
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

let expired: () => void = () => {};
export const tellExpired = (): void => expired();
export const onExpired = (tell: () => void): void => void (expired = tell);

export const call = <P extends keyof paths, M extends Methods<P> = "get" & Methods<P>>(path: P, options: Options<M> = {}): Promise<Reply<P, M>> => ask(path as string, options as Options) as Promise<Reply<P, M>>;

// The console's own routes, which the OpenAPI document does not have.
export const own = <T>(path: `/console/api/${string}`, options: Options = {}): Promise<T> => ask(path, options) as Promise<T>;

async function ask(path: string, options: Options): Promise<unknown> {
  const method = (options.method ?? "get").toUpperCase();
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(options.path?.[name] ?? ""));
  let response: Response;
  let text: string;
  try {
    response = await fetch(consolePath(filled) + searchOf(options.query), {
      method,
      headers: { ...headers(method !== "GET"), ...options.headers },
      body: options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
      signal: options.signal,
    });
    text = await response.text();
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    unreached();
    throw new Problem(0, "The server does not answer.");
  }
  reached();
  // Of several answers to one question, the one that lacks most.
  if (options.signal && response.headers.has("Headrace-Stale")) {
    const until = response.headers.get("Headrace-Complete-Until") ?? "";
    const before = stale.get(options.signal);
    stale.set(options.signal, before !== undefined && before < until ? before : until);
  }
  if (response.ok) return text ? exact(text) : null;
  if (response.status === 401 && path !== "/console/api/session") expired();
  const said = problemOf(text);
  throw new Problem(response.status, said.detail ?? said.error?.message ?? said.error ?? response.statusText, Number(response.headers.get("Retry-After")) || 0, said.errors ?? []);
}

function problemOf(text: string): any {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// Integers that a double cannot hold keep their digits, as text. (JSON.parse gives the source only in newer browsers.)
const unsafe = /(?<=[[:,]\s*)-?\d{16,}(?=\s*[,}\]])/g;
export function exact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  // Split at strings, so that digits inside of one stay as they are.
  const parts = text.match(/"(?:[^"\\]|\\.)*"|[^"]+/g) ?? [];
  const joined = parts.map((part) => (part[0] === '"' ? part : part.replace(unsafe, (digits) => (Number.isSafeInteger(Number(digits)) ? digits : `"${digits}"`))));
  return JSON.parse(joined.join(""));
}
