"""The lines in docs/sdks-js.md that point an SDK at a server: what the tests run is what the page says."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sdks-js.md"
HOST, KEY = "https://events.example.com", "YOUR_KEY"
# One SDK wants the address in parts.
PARTS = "protocol: 'https', host: 'events.example.com'"


def lines_for(package: str, url: str, key: str) -> list[str]:
    """The lines of the block under the package's heading, with a server's own address and a key of its own in them."""
    found = re.search(rf"^#+ `{re.escape(package)}`\n+```\w+\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"docs/sdks-js.md has no lines for {package}"
    scheme, host = url.split("://")
    return (
        found[1]
        .replace(PARTS, f"protocol: '{scheme}', host: '{host}'")
        .replace(HOST, url)
        .replace(KEY, key)
        .splitlines()
    )
