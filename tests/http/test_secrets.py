"""No secret is written down anywhere: a server is used and misused with keys, and everything that it left is searched for them."""

import json
from pathlib import Path

from headrace.model.keys import masked
from tests.http.routes import MOUNTED, STREAMS, send
from tests.server import Server

ADMIN_KEY = "the-operators-own-secret-0123456789"


def test_no_secret_is_in_logs_metrics_errors_the_audit_or_the_control_database(tmp_path: Path) -> None:
    settings = {"HEADRACE_ADMIN_KEY": ADMIN_KEY, "HEADRACE_LOG_LEVEL": "debug"}
    server = Server(tmp_path / "data", settings, by_fork=False).start()  # whose command line is its own
    replies: list[str] = []
    secrets = [ADMIN_KEY]
    with server.client(ADMIN_KEY) as client:
        for style in ("flux", "bricqs", "solute", "admin", "publishable"):
            made = client.post("/api/v1/keys", json={"style": style}).json()["data"]
            rotated = client.post(f"/api/v1/keys/{made['id']}/rotate", json={}).json()["data"]
            secrets += [made["secret"], rotated["secret"]]
            replies.append(client.delete(f"/api/v1/keys/{made['id']}").text)
        webhook = client.post("/api/v1/webhooks", json={"url": "https://example.com/", "topics": ["event"]}).json()
        secrets.append(webhook["data"]["secret"])
        for secret in secrets:
            for place in (
                f"/api/v1/keys/{secret}",
                f"/api/v1/webhooks/{secret}",
                f"/{secret}",
                f"/v1/{secret}?a={secret}",
            ):
                for method in ("GET", "DELETE", "POST"):
                    client.request(method, place, json={"id": secret, secret: secret})
            with server.client(secret) as other:
                for route in MOUNTED:
                    if route.template in STREAMS:
                        continue  # which would not end
                    replies.append(send(other, route).text)
                    if route.method == "GET" and route.scope != "ingest":
                        replies.append(send(other, route, params={"api_key": secret}).text.replace(secret, ""))
        replies += [client.get(path).text for path in ("/metrics", "/api/v1/keys", "/api/v1/audit?limit=100", "/ready")]
        command_line = Path(f"/proc/{server.pid}/cmdline")
        replies.append(command_line.read_text() if command_line.exists() else "")
    assert server.stop() == 0
    left: dict[str, str] = {"replies": " ".join(replies), "log": json.dumps(server.logs)}
    for file in (tmp_path / "data").glob("control.sqlite*"):
        left[file.name] = file.read_bytes().decode("latin-1")
    for where, text in left.items():
        for secret in secrets:
            if secret.startswith("whsec_") and where.startswith("control"):
                continue  # a signature needs the secret itself: decision 117
            # Its end is what a prefix does not show.
            assert secret[-20:] not in text, f"{secret[:12]}… is in {where}: {_around(text, secret[-20:])}"


def _around(text: str, found: str) -> str:
    place = text.index(found)
    return text[max(0, place - 200) : place + 60]


def test_what_looks_like_a_key_is_masked_and_nothing_else() -> None:
    assert masked("/keys/sk_live_abcdefghijkl/x") == "/keys/sk_live_abcdef…/x"
    assert masked("adm_test_ABCDEF-_7 and pk_live_abcdefg") == "adm_test_ABCDEF… and pk_live_abcdef…"
    assert masked("/webhooks/whsec_ZEFJkIqtCATT5t0GJsTLOk8z+w=") == "/webhooks/whsec_ZEFJkI…"
    for text in ("sk_live_abcdef", "/api/v1/webhooks/a", "task_live_x", ""):
        assert masked(text) == text
