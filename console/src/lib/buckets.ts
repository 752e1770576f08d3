// Where intervals of a time zone begin, as the server cuts them. Its answers leave out those without events.
const FIXED: Record<string, number> = { "1m": 60_000, "5m": 300_000, "1h": 3_600_000 };
const MOST = 5000;

// How far a zone's clock is before UTC at a moment, in milliseconds.
function offset(at: number, zone: string): number {
  const parts = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(at);
  const of = (type: string) => Number(parts.find((each) => each.type === type)?.value);
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second")) - Math.floor(at / 1000) * 1000;
}

// The first moment of a day by the zone's clock.
function dayBegins(year: number, month: number, day: number, zone: string): number {
  const clock = Date.UTC(year, month, day);
  const near = clock - offset(clock, zone);
  return clock - offset(near, zone);
}

export function buckets(from: number, to: number, interval: string, zone: string): number[] {
  const found: number[] = [];
  const step = FIXED[interval];
  if (step) {
    // Whole hours of a zone may be half hours of UTC.
    const shift = offset(from, zone) % step;
    for (let at = Math.floor((from + shift) / step) * step - shift; at <= to && found.length < MOST; at += step) found.push(at);
    return found;
  }
  const clock = new Date(from + offset(from, zone));
  let [year, month, day] = [clock.getUTCFullYear(), clock.getUTCMonth(), clock.getUTCDate()];
  if (interval === "1w") day -= (clock.getUTCDay() + 6) % 7;
  if (interval === "1M") day = 1;
  for (let at = dayBegins(year, month, day, zone); at <= to && found.length < MOST; at = dayBegins(year, month, day, zone)) {
    found.push(at);
    if (interval === "1M") month += 1;
    else day += interval === "1w" ? 7 : 1;
  }
  return found;
}
