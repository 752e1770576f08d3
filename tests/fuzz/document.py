"""`make fuzz`, its second half: Schemathesis makes requests of the OpenAPI document, good and bad, and holds the replies against it.

It runs in an environment of its own, for it brings a plugin for pytest. Webhooks are left out: they would call made-up addresses.
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

PROGRAM = Path(sys.prefix) / "fuzz" / "bin" / "schemathesis"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_LEFT_OUT = "^/api/v1/(webhooks|live$)"


def _without_lines() -> dict[str, Any]:
    """The document without bodies of a media type that Schemathesis cannot write."""
    given = json.loads(json.dumps(document()))
    for operations in given["paths"].values():
        for operation in operations.values():
            operation.get("requestBody", {}).get("content", {}).pop("application/x-ndjson", None)
    return given


def run(server: Server, key: str, folder: Path, seconds: int, seed: int | None, *more: str) -> int:
    """Schemathesis's exit code: 0 when every reply is as the document says. `folder`: where it may leave what it likes."""
    described = folder / "openapi.json"
    described.write_text(json.dumps(_without_lines()))
    command = [PROGRAM, "run", described, "--url", server.url]
    command += ["--header", f"Authorization: Bearer {key}", "--checks", ",".join(_CHECKS)]
    command += ["--phases", "examples,coverage,fuzzing", "--exclude-path-regex", _LEFT_OUT]
    command += ["--max-time", str(seconds), "--continue-on-failure", "--warnings", "off", *more]
    if seed is not None:
        command += ["--seed", str(seed)]
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(command, cwd=folder, env=environ | {"NO_PROXY": "*"}, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int)
    given, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {"HEADRACE_RATE_LIMITS": "off"}).start()
        try:
            code = run(server, server.key(), Path(folder), given.seconds, given.seed, *more)
        finally:
            server.stop()
    failures = [line for line in server.logs if line.get("level") in ("error", "critical")]
    for line in failures:
        print("logged:", line)
    return code or bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
