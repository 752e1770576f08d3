"""Who sent what, and what was acknowledged: the other side of the books. Compared with the store at the end."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Balance:
    """The promise, as five numbers of which the last three have to be 0."""

    acknowledged: int
    stored: int
    lost: list[str]
    doubled: list[str]
    phantom: list[str]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.phantom)

    def __str__(self) -> str:
        shown = [*self.lost[:3], *self.doubled[:3], *self.phantom[:3]]
        return (
            f"{self.acknowledged} acknowledged, {self.stored} stored: "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.phantom)} phantom {shown or ''}"
        )


@dataclass
class Ledger:
    """Every event carries a mark of its own. Threads may write at once."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    repeats: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, marks: Iterable[str]) -> None:
        with self._lock:
            for mark in marks:
                self.repeats += mark in self.sent
                self.sent.add(mark)

    def acknowledge(self, marks: Iterable[str]) -> None:
        with self._lock:
            self.acknowledged.update(marks)

    def balance(self, stored: Counter[str]) -> Balance:
        return Balance(
            acknowledged=len(self.acknowledged),
            stored=stored.total(),
            lost=sorted(self.acknowledged - stored.keys()),
            doubled=sorted(mark for mark, times in stored.items() if times > 1),
            phantom=sorted(stored.keys() - self.sent),
        )
