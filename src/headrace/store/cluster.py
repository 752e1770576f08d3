"""The cluster that a store's URL names: which nodes it has, and whether events would be safe on it."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from clickhouse_connect.driver.client import Client

from headrace.ports.store import StoreFailed
from headrace.store.queries.place import ONE_SERVER, Place

_NAMES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Shape(msgspec.Struct, frozen=True):
    """nodes: of all shards. replicas: of each shard."""

    nodes: int
    replicas: int


def placed(dsn: str, /) -> tuple[str, Place]:
    """The URL without `cluster=`, and the place that it means. Raises StoreFailed for names that are not plain."""
    if "cluster=" not in dsn:
        return dsn, ONE_SERVER
    parts = urlsplit(dsn)
    values = parse_qsl(parts.query, keep_blank_values=True)
    named = [value for name, value in values if name == "cluster"]
    if not named:
        return dsn, ONE_SERVER
    database = parts.path.strip("/")
    for what, name in (("cluster", named[-1]), ("database", database)):
        if not _NAMES.fullmatch(name):
            raise StoreFailed(f"its {what} needs a name of letters, digits, `_`, `-` and `.`")
    others = urlencode([each for each in values if each[0] != "cluster"])
    return urlunsplit(parts._replace(query=others)), Place(named[-1], database)


def shape_of(client: Client, place: Place, /) -> Shape:
    """Ask a node. Raises ClickHouseError, and StoreFailed for a cluster on which events might be lost or doubled."""
    name = place.cluster

    def rows(sql: str) -> list[list[str]]:
        answer = client.raw_query(sql, {"cluster": name}, fmt="TabSeparated").decode()
        return [line.split("\t") for line in answer.splitlines()]

    shards = rows(
        "SELECT shard_num, count(), min(internal_replication), max(default_database) FROM system.clusters "
        "WHERE cluster = {cluster:String} GROUP BY shard_num ORDER BY shard_num"
    )
    if not shards:
        known = ", ".join(each for (each,) in rows("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"))
        raise StoreFailed(f"it knows no cluster {name} (its remote_servers are: {known or 'none'})")
    replicas = {int(count) for _, count, _, _ in shards}
    if len(replicas) > 1:
        raise StoreFailed(f"the shards of the cluster {name} have different numbers of replicas")
    if any(internal == "0" for _, _, internal, _ in shards):
        raise StoreFailed(f"the cluster {name} needs `internal_replication`, or each event would be stored twice")
    if any(database not in ("", place.database) for _, _, _, database in shards):
        raise StoreFailed(f"the cluster {name} has a `default_database` other than {place.database}")
    nodes = len(shards) * replicas.pop()
    macros = f"SELECT _shard_num, macro, substitution FROM {place.everywhere('system.macros')}"  # noqa: S608
    [[answered, of_shards, of_replicas]] = rows(
        "SELECT count(), uniqExactIf(shard, shard != ''), uniqExactIf((shard, replica), replica != '') FROM ("  # noqa: S608
        "SELECT anyIf(substitution, macro = 'shard') AS shard, anyIf(substitution, macro = 'replica') AS replica "
        f"FROM ({macros}) GROUP BY _shard_num) SETTINGS skip_unavailable_shards = 0"
    )
    if [int(answered), int(of_shards), int(of_replicas)] != [nodes, len(shards), nodes]:
        raise StoreFailed(
            f"the nodes of the cluster {name} need the macros `shard`, alike for the replicas of a shard only, and `replica`, "
            "another for each of them"
        )
    return Shape(nodes, nodes // len(shards))
