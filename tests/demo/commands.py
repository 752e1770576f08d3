"""The curl commands of a text, as a real shell reads them and without running curl."""

import os
import subprocess
from collections.abc import Mapping

from demo.examples import Request, parse_words

# Each call prints its words instead; `headrace keys create --style x` prints the variable KEY_x.
_SHELL = r"""
set -eu
curl() { printf '%s\037' curl "$@"; printf '\036'; }
headrace() { local name="KEY_$4"; printf '%s' "${!name}"; }
"""


def curls(script: str, keys: Mapping[str, str]) -> list[Request]:
    """What the script's curl commands would send, in order."""
    done = subprocess.run(
        ["bash", "-c", _SHELL + script],
        env=os.environ | {f"KEY_{style}": key for style, key in keys.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    commands = [command.split("\x1f")[:-1] for command in done.stdout.split("\x1e")[:-1]]
    for words in commands:
        url = next(word for word in words if "://" in word and " " not in word)
        assert not set("[]{}") & set(url) or "-g" in words, f"curl would read {url} as a pattern"
    return [parse_words(words) for words in commands]
