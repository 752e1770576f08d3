// Whether the server answers. While it does not, it is asked every few seconds, and every question is asked again once it does.
const ASK_MS = 2000;

// `turn` grows when the connection is back; `since`: when it was lost.
export const connection = $state({ lost: false, since: 0, turn: 0 });

export function reached(): void {
  if (!connection.lost) return;
  connection.lost = false;
  connection.turn += 1;
}

export function unreached(): void {
  if (connection.lost) return;
  connection.lost = true;
  connection.since = Date.now();
}

async function ask(): Promise<void> {
  if (!connection.lost || document.hidden) return;
  await fetch("/console/api/session", { headers: { "X-Headrace-Console": "1" } }).then(reached, () => {});
}
setInterval(() => void ask(), ASK_MS);
addEventListener("offline", unreached);
addEventListener("online", () => void ask());
