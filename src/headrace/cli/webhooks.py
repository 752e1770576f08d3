"""`headrace webhooks`: sets up webhooks on the running server and shows their deliveries. Parses and prints."""

import time
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from cyclopts import App, Parameter

from headrace.cli.server import Data, Server, print_json
from headrace.model.event import Mode

Status = Literal["waiting", "delivered", "dead"]

app = App(
    name="webhooks",
    help="Set up webhooks, and list and redeliver deliveries, on the server running on the data folder.",
)
_POLL_S = 0.1


@app.command(name="list")
def print_list(*, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """List webhooks as tab-separated lines."""
    columns = ("id", "status", "waiting", "topics", "url", "problem")
    print(*columns, sep="\t")
    cursor = ""
    while True:
        page = _ask(Server(project, mode, data), "GET", f"?limit=100&cursor={quote(cursor)}")
        for each in page["data"]:
            shown = each | {"topics": ",".join(each["topics"]), "problem": each["reason"] or each["problem"]}
            print(*("-" if shown[column] is None else shown[column] for column in columns), sep="\t")
        cursor = page["meta"]["next_cursor"] or ""
        if not cursor:
            return


@app.command
def create(
    url: str,
    /,
    *topics: str,
    id: str | None = None,  # noqa: A002  as the option is called
    name: str | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Create a webhook and print it with its secret, which cannot be shown again.

    Args:
        url: Where deliveries are posted.
        topics: One or more of badge.awarded, challenge.completed, points.changed, journey.called, journey.ended, event.
        id: The webhook's id; default: chosen by the server.
        name: With the topic event, the name of the events to send, or a prefix followed by `*`. Other filters: docs/webhooks.md.
        project: Project whose webhook it is.
        mode: live or test.
    """
    body: dict[str, object] = {"url": url, "topics": list(topics)}
    body |= {"id": id} if id else {}
    body |= {"filter": {"name": name}} if name else {}
    print_json(_ask(Server(project, mode, data), "POST", "", body)["data"])


@app.command
def show(webhook: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Print a webhook as JSON, without its secret."""
    print_json(_ask(Server(project, mode, data), "GET", _path(webhook))["data"])


@app.command
def change(
    webhook: str,
    /,
    *topics: str,
    url: str | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Change a webhook's topics or URL and print it.

    Args:
        webhook: The webhook's id.
        topics: The complete new list of topics; default: unchanged.
        url: Where deliveries are posted.
        project: Project whose webhook it is.
        mode: live or test.
    """
    body = ({"topics": list(topics)} if topics else {}) | ({"url": url} if url else {})
    print_json(_ask(Server(project, mode, data), "PATCH", _path(webhook), body)["data"])


@app.command
def enable(webhook: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Resume sending to a webhook, from now on."""
    print_json(_ask(Server(project, mode, data), "PATCH", _path(webhook), {"status": "enabled"})["data"])


@app.command
def disable(webhook: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Stop sending to a webhook; waiting deliveries become dead letters."""
    print_json(_ask(Server(project, mode, data), "PATCH", _path(webhook), {"status": "disabled"})["data"])


@app.command
def delete(webhook: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Delete a webhook and its deliveries."""
    _ask(Server(project, mode, data), "DELETE", _path(webhook))
    print(f"deleted {webhook}")


@app.command
def rotate(
    webhook: str,
    /,
    *,
    overlap_seconds: int | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Give a webhook a new secret and print it. The old one keeps signing during the overlap.

    Args:
        webhook: The webhook's id.
        overlap_seconds: How long; default: HEADRACE_WEBHOOK_OVERLAP_S. 0 ends the old secret at once.
        project: Project whose webhook it is.
        mode: live or test.
    """
    body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    print(_ask(Server(project, mode, data), "POST", f"{_path(webhook)}/rotate", body)["data"]["secret"])


@app.command(name="test")
def send_test(webhook: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Send a test delivery and print how it went. Exits with 1 unless it was delivered."""
    server = Server(project, mode, data)
    sent = _ask(server, "POST", f"{_path(webhook)}/test")["data"]
    while sent["status"] == "waiting":
        time.sleep(_POLL_S)
        sent = _ask(server, "GET", _delivery(webhook, sent["id"]))["data"]
    print_json(sent)
    if sent["status"] != "delivered":
        raise SystemExit(1)


@app.command
def deliveries(
    webhook: str,
    delivery: str | None = None,
    /,
    *,
    status: Status | None = None,
    limit: int = 20,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """List a webhook's latest deliveries as tab-separated lines, or print one with its attempts as JSON.

    Args:
        webhook: The webhook's id.
        delivery: A delivery's id.
        status: Only deliveries that are waiting, delivered or dead letters.
        limit: Maximum number of deliveries, 1 to 100.
        project: Project whose webhook it is.
        mode: live or test.
    """
    server = Server(project, mode, data)
    if delivery is not None:
        print_json(_ask(server, "GET", _delivery(webhook, delivery))["data"])
        return
    query = urlencode({"limit": limit, "status": status or ""})
    columns = ("id", "type", "status", "tries", "created_at", "next_try_at", "problem")
    print(*columns, sep="\t")
    for each in _ask(server, "GET", f"{_path(webhook)}/deliveries?{query}")["data"]:
        print(*("-" if each[column] is None else each[column] for column in columns), sep="\t")


@app.command
def redeliver(
    webhook: str,
    delivery: str | None = None,
    /,
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Send one delivery again, or every dead letter created in a span of time.

    Args:
        webhook: The webhook's id.
        delivery: A delivery's id; without it, all dead letters of the span.
        from_: Earliest time of creation.
        to: Latest time of creation.
        project: Project whose webhook it is.
        mode: live or test.
    """
    server = Server(project, mode, data)
    if delivery is not None:
        _ask(server, "POST", f"{_delivery(webhook, delivery)}/redeliver")
        print("1 delivery is sent again")
        return
    span = {name: value for name, value in (("from", from_), ("to", to)) if value}
    total, more = 0, True
    while more:
        done = _ask(server, "POST", f"{_path(webhook)}/deliveries/redeliver", span)["data"]
        total, more = total + done["redelivered"], done["more"]
    print(f"{total} {'delivery is' if total == 1 else 'deliveries are'} sent again")


def _path(webhook: str) -> str:
    return f"/{quote(webhook, safe='')}"


def _delivery(webhook: str, delivery: str) -> str:
    return f"{_path(webhook)}/deliveries/{quote(delivery, safe='')}"


def _ask(server: Server, method: str, path: str, body: object = None) -> Any:
    return server.ask(method, f"/api/v1/webhooks{path}", body)
