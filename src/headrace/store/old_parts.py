"""Has the engine compress again, and harder, what was received long ago: an eighth less on disk.

It is a clause of the table, which the engine carries out a part at a time as it merges.
Source: https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#mergetree-table-ttl
"""

from headrace.store.engine import Engine
from headrace.store.queries import old_parts as queries


def recompress(engine: Engine, after_s: float, /) -> None:
    """From now on parts are compressed again once all of their events were received that long ago; 0 for never.

    What has been compressed stays so until it is next rewritten. Returns before older parts know their age.
    Raises StoreFailed.
    """
    wanted = queries.clause(round(after_s))
    if engine.tell(queries.clause_of(engine.place), "TabSeparatedRaw").decode().strip() != wanted:
        engine.command(queries.modify(wanted, engine.place))
