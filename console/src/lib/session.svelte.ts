import { onExpired, own as ownCall, Problem } from "./api";
import { connection } from "./connection.svelte";
import { router } from "./router.svelte";

export interface Opens {
  project: string;
  mode: "live" | "test";
  scopes: string[];
  key: string | null;
}
export interface Session {
  id: string;
  operator: boolean;
  opens: Opens[];
  version: string;
  console: "built" | "stale" | "missing";
  ends_at: string;
}

export const session = $state<{ now: Session | null; state: "asking" | "in" | "out" | "expired" | "away"; problem: string }>({
  now: null,
  state: "asking",
  problem: "",
});
onExpired(() => {
  if (session.state === "in") session.state = "expired";
});

// A screen that asks nothing by itself learns by this that the server is gone, or that the session has ended.
const BEAT_MS = 10_000;
setInterval(() => {
  if (session.state !== "in" || document.hidden || connection.lost) return;
  void ownCall("/console/api/session").catch(({ status }: Problem) => {
    if (status === 401) session.state = "expired";
  });
}, BEAT_MS);

export async function ask(): Promise<void> {
  const code = /^#code=(.+)/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, "", location.pathname + location.search); // it works once, and nobody should copy it
    await logIn({ code });
    if (session.state === "in") return;
  }
  try {
    opened((await ownCall<{ data: Session }>("/console/api/session")).data);
  } catch (error) {
    const status = (error as Problem).status;
    session.state = status === 401 ? "out" : status === 403 ? "out" : "away";
    if (status !== 401) session.problem = (error as Problem).message;
  }
}

export async function logIn(by: { key?: string; code?: string }): Promise<void> {
  session.problem = "";
  try {
    opened((await ownCall<{ data: Session }>("/console/api/session", { method: "post", body: by })).data);
  } catch (error) {
    session.problem = (error as Problem).message;
    if (session.state === "asking") session.state = "out";
  }
}

export async function logOut(): Promise<void> {
  await ownCall("/console/api/session", { method: "delete" }).catch(() => {});
  session.now = null;
  session.state = "out";
}

function opened(found: Session): void {
  session.now = found;
  session.state = "in";
  session.problem = "";
}

export const own = (): Opens | undefined =>
  session.now?.opens.find((each) => each.project === router.place.project && each.mode === router.place.mode);
export const may = (scope: string): boolean => own()?.scopes.includes(scope) ?? false;
export const whyNot = (scope: string): string =>
  may(scope) ? "" : `Needs the scope ${scope}; the key in use (${own()?.key ?? "none"}) has ${own()?.scopes.join(", ") || "none"}.`;
