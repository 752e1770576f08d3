// What funnels and retention have in common: ranges, known names, and the request as curl.
import { call } from "./api";

export const RANGES: [string, string][] = [["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"], ["365d", "12 months"]];
export const names = async (signal: AbortSignal): Promise<string[]> => (await call("/v1/admin/events/names", { query: { limit: 200 }, signal })).events.map((each) => each.name);
export const curlOf = (path: string, body: object): string => `curl ${location.origin}${path} \\\n  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
export const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(share && share < 0.1 ? 1 : 0)} %`);
