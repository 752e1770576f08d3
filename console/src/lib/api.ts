// Calls the API's routes below /console, for the project and mode in the address. Keeps no key: the session is in a cookie no script sees.
import { router } from "./router.svelte";

export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

export interface Options {
  method?: string;
  body?: unknown;
  text?: string;
  query?: Record<string, string | number | undefined>;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

export function headers(change = false): Record<string, string> {
  const found: Record<string, string> = { "X-Headrace-Console": "1" };
  if (router.place.project) found["Headrace-Project"] = router.place.project;
  if (router.place.mode) found["Headrace-Mode"] = router.place.mode;
  if (change) found["Content-Type"] = "application/json";
  return found;
}

// Where the console has a route of the API.
export const consolePath = (path: string): string => (path.startsWith("/api/") ? `/console${path}` : `/console/api${path}`);

export function searchOf(query: Options["query"] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "") as [string, string][];
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

let expired: () => void = () => {};
export const tellExpired = (): void => expired();
export const onExpired = (tell: () => void): void => void (expired = tell);

export async function call<T = any>(path: string, options: Options = {}): Promise<T> {
  const method = options.method ?? "GET";
  let response: Response;
  try {
    response = await fetch((path.startsWith("/console/") ? path : consolePath(path)) + searchOf(options.query), {
      method,
      headers: { ...headers(method !== "GET"), ...options.headers },
      body: options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
      signal: options.signal,
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer.");
  }
  const text = await response.text();
  if (response.ok) return (text ? exact(text) : null) as T;
  if (response.status === 401 && path !== "/console/api/session") expired();
  throw new Problem(response.status, said(text) || response.statusText, Number(response.headers.get("Retry-After")) || 0);
}

function said(text: string): string {
  try {
    const found = JSON.parse(text);
    return found.detail ?? found.error?.message ?? found.error ?? "";
  } catch {
    return "";
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
