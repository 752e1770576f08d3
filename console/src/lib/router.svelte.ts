// The address is the state: /console/{project}/{mode}/{screen}/{…}?…  Back, reload and a link to a colleague give the same view.

export interface Place {
  project: string;
  mode: string;
  screen: string;
  id: string;
  query: URLSearchParams;
}

function parse(): Place {
  const [, , project = "", mode = "", screen = "", ...rest] = location.pathname.split("/");
  return { project, mode, screen, id: rest.map(unescaped).join("/"), query: new URLSearchParams(location.search) };
}

function unescaped(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export const router = $state({ place: parse() });
addEventListener("popstate", () => (router.place = parse()));

export function href(screen: string, id = "", query: Record<string, string> = {}, of: { project?: string; mode?: string } = {}): string {
  const { project, mode } = router.place;
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  // An id is one segment whatever is in it, also if it is "." or "..".
  const part = id ? `/${encodeURIComponent(id).replace(/\./g, "%2E")}` : "";
  return `/console/${of.project ?? project}/${of.mode ?? mode}/${screen}${part}${search}`;
}

export function go(address: string, replace = false): void {
  if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
  router.place = parse();
}

// Change some of the query and keep the rest, without a step in the history.
export function setQuery(changes: Record<string, string>): void {
  const query = Object.fromEntries(router.place.query);
  go(href(router.place.screen, router.place.id, { ...query, ...changes }), true);
}

export function onClick(event: MouseEvent): void {
  const link = (event.target as Element).closest?.("a");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
  if (link.origin !== location.origin || !link.pathname.startsWith("/console/") || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
  document.getElementById("main")?.scrollTo(0, 0);
}
