"""The console as it is built, packed and served. Skips, with a reason, where it is not built."""

import gzip
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from headrace.http.console_files import dist, sources_hash, state
from tests.console.pages import Page
from tests.server import Server

ROOT = Path(__file__).parents[2]


def build_script() -> Any:
    spec = importlib.util.spec_from_file_location("console_build", ROOT / "console" / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built() -> None:
    if (found := state()) != "built":
        reason = f"the console is {found} (make console builds it, which takes the npm registry)"
        if os.environ.get("HEADRACE_CONSOLE") == "required":
            pytest.fail(reason)
        pytest.skip(reason)


def test_the_build_and_the_server_agree_on_what_the_sources_are() -> None:
    assert build_script().sources_hash() == sources_hash(ROOT / "console")


@pytest.mark.usefixtures("built")
def test_each_file_is_served_from_memory_and_may_be_kept(server: Server) -> None:
    found = dist()
    assert found
    with Page(server.url) as page:
        html = page.get("/console").text
        names = re.findall(r'(?:src|href)="/console/assets/([^"]+)"', html)
        assert names
        for name in names:
            response = page.get(f"/console/assets/{name}")
            assert response.status_code == 200
            assert response.content == found.assets[name].content
            assert "immutable" in response.headers["cache-control"]
            assert response.headers["content-encoding"] == "gzip"
            plain = page.get(f"/console/assets/{name}", headers={"Accept-Encoding": "identity"})
            assert "content-encoding" not in plain.headers
        for name in ("nothing.js", "..%2Fbuilt.json", "%2e%2e/built.json"):
            assert page.get(f"/console/assets/{name}").status_code == 404
        assert page.get("/console/assets/licenses.txt").status_code == 200
    assert "<script>" not in html
    assert "style=" not in html


@pytest.mark.usefixtures("built")
def test_the_live_screen_stays_small() -> None:
    """At most 60 KB gzipped for what the first screen loads, and 40 more for any other; the editor is only for Rules."""
    found = dist()
    assert found
    first = [name for name in found.assets if name.encode() in found.page.content and name.endswith((".js", ".css"))]
    assert sum(len(found.assets[name].gzipped) for name in first) < 60_000
    others = {
        name: len(file.gzipped) for name, file in found.assets.items() if name not in first and name.endswith(".js")
    }
    [editor] = [name for name in others if name.startswith("editor-")]
    assert others.pop(editor) < 135_000
    assert max(others.values()) < 40_000
    [rules] = [name for name in others if name.startswith("Rules-")]
    assert [name for name in found.assets if editor.encode() in found.assets[name].content] == [rules]
    for file in found.assets.values():
        assert gzip.decompress(file.gzipped) == file.content


@pytest.mark.usefixtures("built")
def test_a_wheel_holds_the_console_and_two_are_the_same(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    [one], [two] = (list((tmp_path / folder).glob("*.whl")) for folder in ("one", "two"))
    with zipfile.ZipFile(one) as wheel:
        names = wheel.namelist()
    assert "headrace/console_dist/index.html" in names
    assert "headrace/console_dist/built.json" in names
    assert not [name for name in names if "node_modules" in name]
    assert one.read_bytes() == two.read_bytes()


def test_without_the_registry_the_build_says_why_and_the_install_goes_on(tmp_path: Path) -> None:
    copy = tmp_path / "console"
    copy.mkdir()
    for name in (
        "package.json",
        "package-lock.json",
        ".npmrc",
        "build.py",
        "index.html",
        "tsconfig.json",
        "vite.config.ts",
    ):
        (copy / name).write_bytes((ROOT / "console" / name).read_bytes())
    nowhere = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_cache": str(tmp_path / "cache")}
    for required, code in (("", 0), ("required", 1)):
        environ = {**os.environ, **nowhere, "HEADRACE_CONSOLE": required}
        done = subprocess.run(
            [sys.executable, "build.py"], cwd=copy, env=environ, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == code
        assert "The console was not built" in done.stderr
