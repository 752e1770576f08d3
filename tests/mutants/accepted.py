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
        "assembly/admission.py",
        '_LOOK_UPS = ThreadPoolExecutor(1, thread_name_prefix="keys")',
        '_LOOK_UPS = ThreadPoolExecutor( 2, thread_name_prefix="keys")',
        "only speed: the keyring lets one look up at a time, however many threads there are",
    ),
    Accepted(
        "reactions/facts.py",
        "items, length = (sum(each) for each in zip(*read, strict=True)) if read else (0, 0)",
        "items, length = (sum(each) for each in zip(*read, strict=False)) if read else (0, 0)",
        "equal in effect: each Size has two parts",
    ),
    Accepted(
        "dialects/flux.py",
        "identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=id_chars)]",
        "identifier = Annotated[str, msgspec.Meta(min_length= 2, max_length=id_chars)]",
        "only speed: what the quick decoder refuses is read again, field by field",
    ),
    Accepted(
        "dialects/native.py",
        'raise NotFound(f"No event has the name {name[:200]!r}.")',
        'raise NotFound(f"No event has the name {name[: 199]!r}.")',
        "only wording: how much of an unknown name a 404 shows",
    ),
)
