// The question that Explore's address stands for, and its answer as lines of a chart. Draws nothing.
import { buckets } from "./buckets";
import { call, type Reply } from "./api";

export interface Where {
  field: string;
  op: string;
  value: string;
}
export interface Given {
  measure: string;
  field: string;
  name: string;
  by: string[];
  where: Where[];
  from: string;
  to: string;
  interval: string;
  zone: string;
}
export interface Line {
  name: string;
  key: (string | null)[]; // of the group; [] of the whole
  total: number | null;
  values: (number | null)[];
}
export interface Answer {
  total: number | null;
  times: number[]; // in seconds
  lines: Line[];
  before: (number | null)[] | null; // the previous period, interval by interval
  beforeTotal: number | null;
  truncated: boolean;
}
type Query = Reply<"/api/v1/query", "post">;

export const MEASURES = [["count", "Count"], ["users", "People"], ["per_user", "Events per person"], ["sum", "Sum"], ["avg", "Average"], ["min", "Minimum"], ["max", "Maximum"], ["p50", "Median"], ["p95", "95th percentile"], ["p99", "99th percentile"], ["percentiles", "p50, p95, p99"]];
export const OPS = ["=", "!=", "in", ">", ">=", "<", "<=", "contains", "exists", "not exists"];
const ADDS_UP = ["count", "sum"];
const SHOWN = 6;

export const needsField = (measure: string): boolean => !["count", "users", "per_user"].includes(measure);
const numeric = (text: string): string | number => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);

function filter({ field, op, value }: Where): object {
  if (op === "exists" || op === "not exists") return { field, op: "exists", value: op === "exists" };
  if (op === "in") return { field, op, value: value.split(",").map((each) => each.trim()) };
  return { field, op, value: [">", ">=", "<", "<="].includes(op) || field === "value" ? numeric(value) : value };
}

// A prefix stands for the names known to begin like that.
export function request(given: Given, names: string[]): Record<string, unknown> {
  const body: Record<string, unknown> = { measure: given.measure === "percentiles" ? "p50" : given.measure };
  const filters = given.where.filter((each) => each.field).map(filter);
  if (given.name.endsWith("*")) {
    const found = names.filter((each) => each.startsWith(given.name.slice(0, -1))).slice(0, 100);
    filters.unshift({ field: "name", op: "in", value: found.length ? found : [given.name] });
  }
  if (given.name && !given.name.endsWith("*")) filters.unshift(filter({ field: "name", op: given.name.includes(",") ? "in" : "=", value: given.name }));
  if (filters.length) body.filters = filters;
  if (needsField(given.measure)) body.field = given.field || "value";
  if (given.by.length) body.breakdown = given.by;
  return { ...body, interval: given.interval, from: given.from, to: given.to, tz: given.zone };
}

const post = (body: object, signal: AbortSignal): Promise<Query> => call("/api/v1/query", { method: "post", body, signal });

export async function answer(given: Given, names: string[], previous: boolean, signal: AbortSignal): Promise<Answer> {
  const body = request(given, names);
  const [from, to] = [Date.parse(given.from), Date.parse(given.to)];
  const earlier = { ...body, breakdown: undefined, from: new Date(2 * from - to).toISOString(), to: new Date(from - 1).toISOString() };
  const isMany = given.measure === "percentiles";
  const [found, before, ...others] = await Promise.all([
    post(body, signal),
    previous && !isMany ? post(earlier, signal) : null,
    ...(isMany ? ["p95", "p99"].map((measure) => post({ ...body, breakdown: undefined, measure }, signal)) : []),
  ]);
  const starts = buckets(from, to, given.interval, given.zone);
  const empty = ["count", "users", "sum"].includes(given.measure) ? 0 : null;
  const align = (series: { timestamp: string; value: number | null }[] = [], at = starts) => {
    const known = new Map(series.map((each) => [Date.parse(each.timestamp), each.value]));
    return at.map((start) => known.get(start) ?? empty);
  };
  const whole = { name: isMany ? "p50" : given.measure, key: [], total: found.data.value, values: align(found.data.series) };
  const groups = isMany ? [] : (found.data.groups ?? []);
  let lines: Line[] = [whole, ...others.map((each, index) => ({ name: ["p95", "p99"][index], key: [], total: each.data.value, values: align(each.data.series) }))];
  if (groups.length) {
    lines = groups.slice(0, SHOWN).map((each) => ({ name: each.key.map((key) => key ?? "(none)").join(" · "), key: each.key, total: each.value, values: align(each.series) }));
    // The rest has a figure only where figures add up.
    if (ADDS_UP.includes(given.measure) && (groups.length > SHOWN || found.meta.truncated)) {
      const rest = (all: number | null, parts: (number | null)[]) => parts.reduce<number>((left, part) => left - (part ?? 0), all ?? 0);
      lines.push({ name: "Other", key: [], total: rest(whole.total, lines.map((each) => each.total)), values: whole.values.map((all, at) => rest(all, lines.map((each) => each.values[at]))) });
    }
  }
  return {
    total: found.data.value,
    times: starts.map((each) => each / 1000),
    lines,
    before: before && align(before.data.series, buckets(2 * from - to, from - 1, given.interval, given.zone)).slice(0, starts.length),
    beforeTotal: before && before.data.value,
    truncated: found.meta.truncated,
  };
}

// What GET /api/v1/events can filter by, of a question: the rest is left out.
export function listFilters(given: Given, key: (string | null)[], start: number, end: number): { query: Record<string, string>; leftOut: boolean } {
  const query: Record<string, string> = { from: new Date(start).toISOString(), to: new Date(end - 1).toISOString() };
  let leftOut = given.name.includes(",");
  if (given.name && !leftOut) query.name = given.name;
  const plain = ["name", "user_id", "session_id", "environment", "service", "host", "source"];
  const add = (field: string, value: string) => {
    const [kind, ...rest] = field.split(".");
    if (plain.includes(field)) query[field] = value;
    else if ((kind === "tags" || kind === "properties") && rest.length) query[`${kind}[${rest.join(".")}]`] = value;
    else leftOut = true;
  };
  for (const { field, op, value } of given.where) if (op === "=" && field) add(field, value);
    else if (field) leftOut = true;
  key.forEach((value, index) => (value === null ? (leftOut = true) : add(given.by[index], value)));
  return { query, leftOut };
}
