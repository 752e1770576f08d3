"""How the demo looks: in colours on a terminal, plain elsewhere, and folded to the terminal's width."""

import json
from collections.abc import Iterator

from process import Reply
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from examples import Request

console = Console(markup=False, emoji=False, highlight=False)


def say(text: str) -> None:
    """Lines as they are, so that what is copied from them stays whole."""
    console.print(text, soft_wrap=True)


def heading(text: str) -> None:
    console.print(f"\n{text}", style="bold cyan", soft_wrap=True)


def note(text: str) -> None:
    _print_hanging(Text("     "), Text(text, "dim"))


def ok(text: str) -> None:
    _print_hanging(Text("ok   ", "bold green"), Text(text))


def print_answer(request: Request, reply: Reply, *, as_expected: bool) -> None:
    head = Text.assemble(
        f"{request.method:<4} ",
        (str(reply.status), "green" if as_expected else "red"),
        (f"{reply.ms:8.1f} ms  ", "dim"),
    )
    _print_hanging(head, Text(request.target, "bold"))
    _print_hanging(Text("     "), JSONHighlighter()(json.dumps(reply.json, ensure_ascii=False)))


def _print_hanging(head: Text, text: Text) -> None:
    """The head, and beside it the text in as many lines as it takes."""
    for line in text.wrap(console, max(20, console.width - len(head)), overflow="fold"):
        line.rstrip()
        console.print(head + line, soft_wrap=True)
        head = Text(" " * len(head))


def with_bar(what: str, requests: list[Request]) -> Iterator[Request]:
    """The requests, and on a terminal a bar that goes away at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(requests, description=what)
