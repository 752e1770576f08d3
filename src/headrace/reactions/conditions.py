"""Conditions in CEL: checked before they are saved, and evaluated over one event within a limit on work. None ever loops.

The library (cel, over a Rust interpreter) has no cost limit, and an evaluation cannot be interrupted. So the cost is computed
beforehand: from the condition's form when it is applied, and from the sizes of the values it reads for each event (cost.py).
Comprehensions (`all`, `exists`, `map`, `filter`), whose costs multiply, and regular expressions, which are compiled at each use,
are refused.
Source of the language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from typing import TYPE_CHECKING

from headrace.reactions import cost
from headrace.reactions.cost import Path
from headrace.reactions.paths import FIELDS, OBJECTS, TEXTS, variable
from headrace.reactions.surroundings import ROOTS, said
from headrace.reactions.syntax import FUNCTIONS, MAX_CHARS, MAX_NESTING, Malformed
from headrace.reactions.translation import translate

if TYPE_CHECKING:
    import cel

__all__ = ["FIELDS", "FUNCTIONS", "MAX_CHARS", "MAX_NESTING", "OBJECTS", "TEXTS", "Condition", "Malformed", "TooCostly"]

MAX_WHY_CHARS = 200
# The errors of a compiled condition. A panic in Rust would be a BaseException, but the library turns it into a ValueError.
# Source: https://github.com/hardbyte/python-common-expression-language/blob/main/src/lib.rs (catch_unwind)
_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class TooCostly(Malformed):
    """A condition was not evaluated, because that would have taken more work than one event may cause."""


def load_cel():
    """The library, loaded with the first condition: it imports a shell, which would take a fifth of every startup."""
    import cel  # noqa: PLC0415

    return cel


class Condition:
    """A checked condition.

    `paths`: the values of the event that it reads. `work`: the cost of an evaluation, by their sizes.
    """

    def __init__(self, text: str, steps: frozenset[str] | None = None) -> None:
        """steps: for a condition of a journey, the ids of the steps that it may read.

        Raises Malformed, also if it can never be true, and TooCostly if it costs too much over a modest event.
        """
        self.text = text
        translated = translate(text, steps)
        self.paths = translated.paths
        self.work = translated.work
        if (work := self.work.at_most(cost.MODEST)) > cost.EVALUATION_NS:
            raise TooCostly(
                f"it is too expensive: if the event has {cost.MODEST.bytes // 1024} KiB of what it reads, it could take "
                f"{cost.milliseconds(work)}; the limit is {cost.milliseconds(cost.EVALUATION_NS)}. "
                f"The most expensive part is {translated.dearest[:80]!r}"
            )
        self._names = {variable(path): _shown(path) for path in self.paths}
        try:
            self._program = load_cel().compile(translated.program)
        except ValueError as error:
            raise Malformed(str(error).partition("\n")[0][:MAX_WHY_CHARS]) from None
        if not self.paths and not self.holds(load_cel().Context(variables={"event": {}})):
            raise Malformed("it reads nothing of the event and is never true")

    def holds(self, context: "cel.Context", /) -> bool:
        """Whether it is true for these values of an event. Raises Malformed with the reason if it has no truth value."""
        try:
            found = self._program.execute(context)
        except KeyError as error:
            name = str(error.args[0]) if error.args else ""
            raise Malformed(self._names.get(name) or f"the event has no {name[:MAX_WHY_CHARS]!r}") from None
        except _ERRORS as error:
            raise Malformed(str(error).partition(". ")[0][:MAX_WHY_CHARS]) from None
        if not isinstance(found, bool):
            raise Malformed(f"it returns a {type(found).__name__} instead of true or false")
        return found


def _shown(path: Path) -> str:
    """The message for a missing value."""
    root, key = path
    if root in ROOTS:
        return f"there is no {said(path)[:MAX_WHY_CHARS]}"
    return f"the event has no {(key or root)[:MAX_WHY_CHARS]!r}"
