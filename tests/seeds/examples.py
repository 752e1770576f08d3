"""The request examples of the four documents as they stand there, and two ways to send one.

`wire/` holds what goes over the wire in each document, byte for byte and nothing else of it: commands, bodies and replies.
"""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.server import Client

_WIRE = Path(__file__).parent / "wire"
_KEYS = ("sk_live_xxx", "bq_live_your_key", "your_api_key", "your-admin-api-key", "your-api-key")
_HOST = re.compile(r"https://(?:flux\.brainzlab\.ai|YOUR_API_DOMAIN|api\.solute\.dev)|http://localhost:3002")


def document(name: str) -> str:
    return (_WIRE / f"{name}.txt").read_text()


class Example(NamedTuple):
    """A command in a document: from the only place that reads `start` to the next that reads `end`."""

    dialect: str
    start: str
    end: str

    @property
    def text(self) -> str:
        text = document(self.dialect)
        assert text.count(self.start) == 1, self
        begin = text.index(self.start)
        return text[begin : text.index(self.end, begin + len(self.start)) + len(self.end)]


def documented_json(name: str, start: str) -> Any:
    """The JSON that follows the only place that reads `start`."""
    text = document(name)
    assert text.count(start) == 1, start
    after = text[text.index(start) + len(start) :]
    return json.JSONDecoder().raw_decode(after[re.search(r"[\[{]", after).start() :])[0]


class Reply(NamedTuple):
    status: int
    json: Any


def substituted(text: str, url: str, key: str) -> str:
    """The command with this server's address and this key in place of the document's."""
    text, hosts = _HOST.subn(url, text)
    assert hosts == 1, text
    found = [each for each in _KEYS if each in text]
    assert len(found) == 1, text
    return text.replace(found[0], key)


def send_by_curl(text: str, url: str, key: str) -> Reply:
    """Run the command in a shell. -g: curl would otherwise read the brackets of tags[plan] as a range of its own."""
    text = substituted(text, url, key)
    assert text.startswith("curl ")
    options = r"curl -q -g -sS --noproxy '*' --max-time 60 -w '\n%{http_code}' "
    command = ["bash", "-c", options + text.removeprefix("curl ")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return Reply(int(status), json.loads(body))


def send_by_httpx(text: str, url: str, key: str) -> Reply:
    """The same request without curl: the command's words, read as a shell reads them."""
    # In double quotes a shell drops a backslash before a line's end; shlex does not.
    words = iter(shlex.split(substituted(text, url, key).replace("\\\n", ""))[1:])
    method, address, headers, data = "", "", {}, None
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(":")
                headers[name] = value.strip()
            case "-d":
                data = next(words).encode()
            case _:
                address = word
    method = method or ("GET" if data is None else "POST")
    with Client(url) as client:
        response = client.request(method, address, headers=headers, content=data)
    return Reply(response.status_code, response.json())


def shape(value: Any) -> Any:
    """The keys and the types of a JSON value; of an array, its first element's."""
    if isinstance(value, dict):
        return {key: shape(element) for key, element in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__
