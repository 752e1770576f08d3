"""The commit-msg hook keeps a commit's subject within 72 characters."""

import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / ".githooks/commit-msg"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 72 + "\n\n" + "y" * 200, 0),
        ("é" * 72, 0),
        ("x" * 73, 1),
        ("# a comment of git's, which may be as long as it likes: " + "x" * 50 + "\nA subject\n", 0),
    ],
)
def test_a_subject_of_more_than_72_characters_is_rejected(tmp_path: Path, message: str, code: int) -> None:
    (tmp_path / "message").write_text(message)
    done = subprocess.run([HOOK, tmp_path / "message"], capture_output=True, text=True, check=False)
    assert (done.returncode, "72" in done.stderr) == (code, bool(code))
