"""Some of the second half of `make fuzz`: every route of the OpenAPI document, always with the same requests."""

from pathlib import Path

import pytest

from tests.fuzz.document import run
from tests.server import Server


@pytest.mark.timeout(400)
def test_schemathesis_finds_no_reply_to_any_route_that_the_document_does_not_have(
    server: Server, project: str, tmp_path: Path
) -> None:
    key = server.key(project)
    begun = len(server.logs)
    options = ("--phases", "examples,fuzzing", "--max-examples", "2", "--generation-deterministic")
    assert run(server, key, tmp_path, *options) == 0
    assert [line for line in server.logs[begun:] if line.get("level") in ("error", "critical")] == []
