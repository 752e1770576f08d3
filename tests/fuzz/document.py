"""`make fuzz`, its second half: Schemathesis makes requests of the OpenAPI document, good and bad, and holds the replies against it.

Two operations are left out: to make a webhook, which would call made-up addresses, and the live stream, which has no end.
test_document.py runs a little of it in `make test`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from headrace.http.docs import document
from tests.server import Server

PROGRAM = Path(sys.prefix) / "bin" / "schemathesis"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_LEFT_OUT = ("createWebhook", "live")
_REQUEST_TIMEOUT_S = 60  # a route that hangs is a failure


def _without_lines() -> dict[str, Any]:
    """The document without bodies of a media type that Schemathesis cannot write."""
    given = json.loads(json.dumps(document()))
    for operations in given["paths"].values():
        for operation in operations.values():
            operation.get("requestBody", {}).get("content", {}).pop("application/x-ndjson", None)
    return given


def run(server: Server, key: str, folder: Path, *more: str) -> int:
    """Schemathesis's exit code: 0 when every reply is as the document says. `folder`: where it may leave what it likes."""
    described = folder / "openapi.json"
    described.write_text(json.dumps(_without_lines()))
    command = [PROGRAM, "run", described, "--url", server.url]
    command += ["--header", f"Authorization: Bearer {key}", "--checks", ",".join(_CHECKS)]
    for name in _LEFT_OUT:
        command += ["--exclude-operation-id", name]
    command += ["--request-timeout", str(_REQUEST_TIMEOUT_S), "--continue-on-failure", "--warnings", "off", *more]
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(command, cwd=folder, env=environ | {"NO_PROXY": "*"}, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int)
    given, more = parser.parse_known_args()
    options = ["--phases", "examples,coverage,fuzzing", "--max-time", str(given.seconds), *more]
    if given.seed is not None:
        options += ["--seed", str(given.seed)]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {"HEADRACE_RATE_LIMITS": "off"}).start()
        try:
            code = run(server, server.key(), Path(folder), *options)
        finally:
            server.stop()
    failures = [line for line in server.logs if line.get("level") in ("error", "critical")]
    for line in failures:
        print("logged:", line)
    return code or bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
