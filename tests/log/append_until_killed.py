"""Append to a log for ever, and print each receipt once it is acknowledged.

python -m tests.log.append_until_killed FILE ROUND
"""

import itertools
import sys
import time
from pathlib import Path

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry


def main(path: str, nth: str) -> None:
    log = SqliteLog(Path(path), clock_ms=lambda: time.time_ns() // 1_000_000)
    for number in itertools.count():
        batch = [f"{nth} {number} {each}" for each in range(1 + number % 7)]
        receipts = log.append(
            [Entry(text.encode() + b" " * (number % 5 * 4000), text.encode().ljust(16)) for text in batch]
        )
        for text, receipt in zip(batch, receipts, strict=True):
            print(receipt.position, receipt.id, text, sep="\t")
        sys.stdout.flush()
        if number % 50 == 49:
            log.trim(receipts[0].position - (2 << 20))  # what is older than two milliseconds


if __name__ == "__main__":
    main(*sys.argv[1:])
