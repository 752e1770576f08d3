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
        "http/names.py",
        'raise NotFound(f"No event has the name {name[:200]!r}.")',
        'raise NotFound(f"No event has the name {name[: 199]!r}.")',
        "only wording: how much of an unknown name a 404 shows",
    ),
    Accepted(
        "log/known_keys.py",
        "self._flushed = last",
        "pass",
        "only speed: what is written down already is looked at once more, and makes no file",
    ),
    Accepted(
        "log/known_keys.py",
        "return list(zip(ends[::2], ends[1::2], strict=True))",
        "return list(zip(ends[::2], ends[1::2], strict=False))",
        "equal in effect: voids are written in pairs",
    ),
    Accepted(
        "log/known_keys.py",
        "if self._voids:",
        "if not self._voids:",
        "equal in effect: when the generation with the voids goes, every key from before them has gone with it or before it",
    ),
    Accepted(
        "log/known_keys.py",
        "gone.files.close()",
        "pass",
        "equal in effect: the only reference goes as the function ends, which closes it",
    ),
    Accepted(
        "log/sqlite.py",
        "row = (self._last, count, tail, len(payloads), key_bytes, payloads, 1, kinds, checks)",
        "row = (self._last, count, tail, len(payloads), key_bytes, payloads, 2, kinds, checks)",
        "equal in effect: `spaced` is read as true or false alone",
    ),
    Accepted(
        "model/times.py",
        "return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000",
        "return since.days * DAY_MS + since.seconds * 1000 - since.microseconds // 1000",
        "equal in effect: it is given whole seconds",
    ),
    Accepted("model/keys.py", "return False", "return None", "equal in effect: asked only whether it is true"),
    Accepted(
        "control/leases.py",
        "LEASE_S = 10.0",
        "LEASE_S = 11.0",
        "only speed: how long the work of a dead server waits for another",
    ),
    Accepted(
        "control/tables.py",
        "sqlite_with_rowid=False,",
        "sqlite_with_rowid=True,",
        "only speed: how SQLite lays the table out",
    ),
    Accepted(
        "control/migrations/versions/0002_reactions.py",
        "sqlite_with_rowid=False,",
        "sqlite_with_rowid=True,",
        "only speed: how SQLite lays the table out",
    ),
    Accepted(
        "store/queries/metrics.py",
        "limit = MAX_POINTS + 1 if by_bucket else MAX_GROUPS + 1",
        "limit = MAX_POINTS + 1 if by_bucket else MAX_GROUPS + 2",
        "equal in effect: groups past MAX_GROUPS are cut off and reported, whether one was read or two",
    ),
)
