"""The short form of `make soak`."""

from pathlib import Path

import pytest

from tests.soak.soak import Soak


@pytest.mark.timeout(600)
def test_kills_for_twelve_seconds_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    soak = Soak(tmp_path, seconds=12, seed=20261122, least_kills=6)
    soak.run()
    balance = soak.ledger.balance(soak.finish())
    assert balance.holds, str(balance)
    assert soak.unseen == []
    assert soak.refused == []
    assert soak.kills >= 5, "too few kills to show anything"
    assert soak.kills_while_starting >= 1
    assert soak.reads > 0
    assert soak.ledger.repeats > 0
    assert balance.acknowledged > 1000, "too little traffic to show anything"
