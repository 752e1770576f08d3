"""The console's types, with those of each reply made from the OpenAPI document: a reply that changes fails here."""

import importlib.util
from pathlib import Path

import pytest

from headrace.http.docs import document
from tests.sdks.npm import node

CONSOLE = Path(__file__).parents[2] / "console"


@pytest.mark.timeout(600)
def test_the_console_reads_replies_as_the_document_describes_them() -> None:
    if not (CONSOLE / "node_modules" / ".headrace").exists():
        pytest.skip("console/node_modules is missing (make console installs it, which takes the npm registry)")
    spec = importlib.util.spec_from_file_location("console_check", CONSOLE / "check.py")
    assert spec
    assert spec.loader
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    done = check.run(node(), document())
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}"
