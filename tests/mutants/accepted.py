"""Changes that no test notices and none has to: each says why. `make mutants` counts them neither as noticed nor as missed.

A change that alters what is stored, acknowledged, counted or shown never belongs here: write the test.
"""

from typing import NamedTuple


class Accepted(NamedTuple):
    """`was` and `becomes`: the line of the file, without its indentation. `why`: equal in effect, only speed, or only wording."""

    file: str
    was: str
    becomes: str
    why: str


ACCEPTED: tuple[Accepted, ...] = (
    Accepted(
        "reactions/facts.py",
        "items, length = (sum(each) for each in zip(*read, strict=True)) if read else (0, 0)",
        "items, length = (sum(each) for each in zip(*read, strict=False)) if read else (0, 0)",
        "equal in effect: each Size has two parts",
    ),
)
