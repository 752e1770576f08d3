"""A face of HTTP that looks like a cluster of two shards: a process of its own, whose chDB is told of two nodes.

Distributed tables, clusterAllReplicas and KeeperMap are the engine's own. Both nodes are this one process, so what each shard has is
a view, of the rows whose sharding key is the shard's. What chDB cannot do is changed here, before it sees a statement: it carries out
no `ON CLUSTER` (there is one process), replicates no table (those become plain ones), and has nothing to wait for in SYNC REPLICA.
Every statement is noted as it came.
"""

import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from headrace.store.clickhouse import ClickHouseStore
from tests import in_memory
from tests.clickhouse_face import Face
from tests.engine import dsn

NAME = "pair"
_CONFIG = f"""
<clickhouse>
  <tcp_port>9000</tcp_port>
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
  <keeper_map_path_prefix>/keeper_map</keeper_map_path_prefix>
  <remote_servers>
    <{NAME}>
      <shard><internal_replication>true</internal_replication>
        <replica><host>127.0.0.1</host><port>9000</port></replica></shard>
      <shard><internal_replication>true</internal_replication>
        <replica><host>localhost</host><port>9000</port></replica></shard>
    </{NAME}>
    <lone>
      <shard><internal_replication>false</internal_replication>
        <replica><host>127.0.0.1</host><port>9000</port></replica>
        <replica><host>localhost</host><port>9000</port></replica></shard>
    </lone>
    <uneven>
      <shard><internal_replication>true</internal_replication>
        <replica><host>127.0.0.1</host><port>9000</port></replica></shard>
      <shard><internal_replication>true</internal_replication>
        <replica><host>127.0.0.1</host><port>9000</port></replica>
        <replica><host>localhost</host><port>9000</port></replica></shard>
    </uneven>
  </remote_servers>
</clickhouse>
"""
_MACROS = """
CREATE VIEW default.macros AS
SELECT 'shard' AS macro, toString(shardNum()) AS substitution UNION ALL SELECT 'replica', 'r' || toString(shardNum())
"""
_ON = re.compile(r" ON CLUSTER `\w+`")
_REPLICATED = re.compile(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'\)")
_WINDOW = re.compile(r"(?:(SETTINGS) |, )replicated_deduplication_window = 0")
_DISTRIBUTED = re.compile(r"ENGINE = Distributed\('\w+', '(\w+)', '(\w+)_local', (.*)\)\s*$", re.DOTALL)
_SHARED_OUT = r"\b(events|erasing|merged_ids|asked)"
_KEPT = re.compile(rf"{_SHARED_OUT}_local\b")
_INSERT = re.compile(rf"^INSERT INTO (`?){_SHARED_OUT}\b")
_OTHER_COLUMNS = re.compile(r"^ALTER TABLE `(\w+)`\.`events_local`.*(ADD|DROP) COLUMN")


class Said(msgspec.Struct):
    """What came: a statement for a database, and the settings that came with it."""

    database: str
    sql: str
    settings: dict[str, str]


class TwoNodes(Face):
    """A table `…_local` is a view, for each of the shards, of a table `…_kept`, which has the rows of both."""

    def __init__(self, noted: Path) -> None:
        super().__init__()
        self._noted = noted.open("ab", buffering=0)
        self._keys: dict[tuple[str, str], str] = {}
        self._of_thread = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, database: str, settings: dict[str, str]) -> Generator[Client]:
        self._of_thread.settings = settings
        with super().lend(database, settings) as client:
            yield client

    def ask(self, client: Client, sql: str, params: dict[str, Any]) -> bytes:
        with self._lock:
            self._noted.write(msgspec.json.encode(Said(client.database or "", sql, self._of_thread.settings)) + b"\n")
        if sql.startswith("SYSTEM SYNC REPLICA"):
            return b""
        made = _DISTRIBUTED.search(sql)
        if made:
            self._keys[made[1], made[2]] = made[3]
            if _KEPT.fullmatch(f"{made[2]}_local"):
                super().ask(client, self._view(made[1], made[2]), {})
        answer = super().ask(client, _for_one(sql, made), params)
        if changed := _OTHER_COLUMNS.search(sql):
            super().ask(client, self._view(changed[1], "events"), {})
        return answer

    def _view(self, database: str, table: str) -> str:
        slot = ", slot" if table == "events" else ""
        return (
            f"CREATE OR REPLACE VIEW `{database}`.`{table}_local` AS SELECT *{slot} FROM `{database}`.`{table}_kept` "
            f"WHERE ({self._keys[database, table]}) % 2 + 1 = shardNum()"
        )


def _for_one(sql: str, distributed: re.Match[str] | None) -> str:
    """A statement as one process can carry it out."""
    end = distributed.start() if distributed else len(sql)
    sql, engine = sql[:end], sql[end:]
    sql = _ON.sub("", sql).replace("system.macros", "default.macros")
    sql = _WINDOW.sub("", _REPLICATED.sub(r"\1", sql))
    return _INSERT.sub(r"INSERT INTO \1\2_kept", _KEPT.sub(r"\1_kept", sql)) + engine


class Cluster:
    """For tests: the process, and a new database for each that asks for one."""

    def __init__(self, folder: Path) -> None:
        self._noted = folder / "statements"
        self._noted.touch()
        (folder / "config.xml").write_text(_CONFIG)  # where chDB looks for it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster_face", str(self._noted)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            stdin=subprocess.PIPE,  # it ends when this process does
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self._numbers = itertools.count()

    def url(self, cluster: str = NAME) -> str:
        """A new database's."""
        name = f"d{next(self._numbers)}"
        client = clickhouse_connect.get_client(dsn=f"http://127.0.0.1:{self._port}/default")
        client.command(f"CREATE DATABASE {name}")
        client.close()
        return f"http://127.0.0.1:{self._port}/{name}?cluster={cluster}"

    def said(self, url: str) -> list[Said]:
        """All that came so far for a database."""
        said = [msgspec.json.decode(line, type=Said) for line in self._noted.read_bytes().splitlines()]
        return [each for each in said if each.database == urlsplit(url).path.strip("/")]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with in_memory.folder() as folder:
        cluster = Cluster(Path(folder))
        yield cluster
        cluster.close()


@pytest.fixture(scope="session")
def on_cluster(cluster: Cluster) -> Iterator[ClickHouseStore]:
    """A store of its own on the cluster, as `clickhouse` is one in this process."""
    store = ClickHouseStore(cluster.url(), hot_tags=("plan", "é"), raise_fence=lambda: 1)
    store.settle()
    yield store
    store.close()


def _serve(noted: Path) -> None:
    client = clickhouse_connect.get_client(dsn=dsn())
    client.command(_MACROS)
    client.close()
    face = TwoNodes(noted)
    print(face.port, flush=True)
    sys.stdin.read()
    os._exit(0)  # without waiting for what runs


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
