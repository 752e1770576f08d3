"""What a cluster has kept, read past its processes."""

from collections import Counter

from tests.clickhouse_face import Face
from tests.scale.cluster import Cluster, wait_until


def stored(face: Face, cluster: Cluster) -> Counter[str]:
    """What the store has, by mark; once a count has waited for everything that was acknowledged."""
    with cluster.client(1) as client:
        wait_until(lambda: client.get("/api/v1/events/count").is_success, "a count")
    database = cluster.settings["HEADRACE_STORE_URL"].rpartition("/")[2]
    with face.lend(database, {}) as engine:
        rows = engine.raw_query(
            "SELECT message_id, count() FROM events WHERE name = 'n' GROUP BY message_id", fmt="TabSeparated"
        ).decode()
    return Counter({mark: int(count) for mark, count in (row.split("\t") for row in rows.splitlines())})


def order_of_effects(cluster: Cluster) -> dict[int, list[str]]:
    """By participant: the events that were booked, in the order of the transactions that did it.

    Those of one transaction, which nobody can see one after the other, in the order of the log. PostgreSQL numbers transactions as
    they first write: https://www.postgresql.org/docs/current/ddl-system-columns.html
    """
    found: dict[int, list[str]] = {}
    for participant, event_id in cluster.rows(
        "SELECT participant_no, event_id FROM points ORDER BY xmin::text::bigint, event_id"
    ):
        found.setdefault(participant, []).append(event_id)
    return found


def booked(cluster: Cluster) -> int:
    """The points that reactions have booked, once everything has been reacted to."""
    with cluster.client(1) as client:
        wait_until(lambda: client.get("/api/v1/participants/u0").is_success, "a participant")
    return cluster.scalar("SELECT sum(points) FROM points")
