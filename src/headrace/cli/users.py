"""`headrace users`: erases people on the running server, and shows the receipts. Parses and prints; never opens the data."""

import time
from typing import Annotated
from urllib.parse import quote

from cyclopts import App, Parameter

from headrace.cli.server import Data, Server, print_json
from headrace.model.errors import InvalidRequest
from headrace.model.event import Mode

app = App(name="users", help="Erase people, on the server running on the data folder, and show the receipts.")
_ERASURES = "/api/v1/erasures"
_POLL_S = 0.2


@app.command
def erase(
    *ids: Annotated[str, Parameter(allow_leading_hyphen=True)],
    wait: Annotated[bool, Parameter(negative="--no-wait")] = True,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Erase people permanently, with everything acknowledged so far, and print a receipt of what was removed where.

    Args:
        ids: Any id of each person; all of their ids are erased.
        wait: Wait until each erasure is done before printing its receipt.
        project: Project that the people belong to.
        mode: live or test.
    """
    if not all(ids or [""]):
        raise InvalidRequest("Name the people to erase, each by any of their ids.")
    server = Server(project, mode, data)
    asked = [server.ask("DELETE", f"/api/v1/users/{quote(each, safe='')}")["data"] for each in ids]
    for receipt in asked:
        while wait and receipt["status"] != "done":
            time.sleep(_POLL_S)
            receipt = server.ask("GET", f"{_ERASURES}/{receipt['id']}")["data"]  # noqa: PLW2901
        print_json(receipt)


@app.command
def receipt(erasure_id: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Print the receipt of an erasure."""
    if not erasure_id.replace("_", "").isalnum():
        raise InvalidRequest(f"{erasure_id[:80]!r} is not an erasure's id: `headrace users receipts` shows them.")
    print_json(Server(project, mode, data).ask("GET", f"{_ERASURES}/{erasure_id}")["data"])


@app.command
def receipts(*, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """List erasures, newest first, as tab-separated lines."""
    columns = ("id", "status", "requested_at", "finished_at")
    print(*columns, "events", sep="\t")
    server, cursor = Server(project, mode, data), ""
    while True:
        page = server.ask("GET", f"{_ERASURES}?limit=100&cursor={quote(cursor)}")
        for each in page["data"]:
            print(
                *("-" if each[column] is None else each[column] for column in columns),
                each["removed"]["events"],
                sep="\t",
            )
        cursor = page["meta"]["next_cursor"] or ""
        if not cursor:
            return
