"""Where the store's tables are: on one server, or on the shards and replicas of a cluster. Pure.

On a cluster, a node keeps its rows in a table `…_local`, which the replicas of its shard share. The table of the plain name is
Distributed: on every node, it stands for all shards. So what asks for events is the same text in both places, and what changes
tables or rows, or looks at the engine's own tables, asks a `Place` for their names.
Sources: https://clickhouse.com/docs/engines/table-engines/special/distributed,
https://clickhouse.com/docs/sql-reference/distributed-ddl
"""

from collections.abc import Mapping
from string import Template
from typing import Any

import msgspec

_OWNER = "if(user_id != '', user_id, anonymous_id)"
SHARDING_KEY = f"if({_OWNER} != '', CRC32({_OWNER}), cityHash64(position))"
"""A person's events are on one shard; those of nobody are spread."""

WHOLE_ANSWERS: Mapping[str, Any] = {
    "skip_unavailable_shards": 0,  # a shard that does not answer is an error, and not a smaller count
    "distributed_product_mode": "global",  # a condition over other events is worked out once, over all shards
    "distributed_group_by_no_merge": 0,
    "enable_parallel_replicas": 0,
}
WHOLE_CHANGES: Mapping[str, Any] = {
    **WHOLE_ANSWERS,
    "async_insert": 0,
    "distributed_foreground_insert": 1,  # returns once the shards have the rows; otherwise they wait in a file of one node
    "distributed_ddl_output_mode": "throw",
    "distributed_ddl_task_timeout": 50,  # seconds; less than the client waits for an answer
    "alter_sync": 2,  # a change of a table is made once every replica has made it
    "insert_quorum_timeout": 30_000,  # milliseconds
    "materialized_views_ignore_errors": 0,  # the fence is in a view
}


class Place(msgspec.Struct, frozen=True):
    """cluster: its name in the servers' `remote_servers`; "" for one server, whose names are all plain."""

    cluster: str = ""
    database: str = ""

    @property
    def on(self) -> str:
        """What says in a statement that every node carries it out."""
        return f" ON CLUSTER `{self.cluster}`" if self.cluster else ""

    def kept(self, table: str, /) -> str:
        """The table that has rows, for a statement that changes it."""
        return f"`{self.database}`.`{table}_local`{self.on}" if self.cluster else table

    def named(self, table: str, /) -> str:
        """A table by its plain name, for a statement that changes it."""
        return f"`{self.database}`.`{table}`{self.on}" if self.cluster else table

    def everywhere(self, table: str, /) -> str:
        """A table that each node has for itself, such as one of the engine's own: the rows of all of them."""
        return f"clusterAllReplicas('{self.cluster}', {table})" if self.cluster else table

    def in_table(self, table: str, /) -> str:
        """The condition that binds the engine's own tables to a table that has rows."""
        if not self.cluster:
            return f"database = currentDatabase() AND table = '{table}'"
        return f"database = '{self.database}' AND table = '{table}_local'"

    def filled(self, statement: str, /) -> str:
        """A statement with `$on`, `$database`, `$cluster` and `$key` in it."""
        return Template(statement).substitute(
            on=self.on, database=f"`{self.database}`", cluster=self.cluster, name=self.database, key=SHARDING_KEY
        )


ONE_SERVER = Place()
