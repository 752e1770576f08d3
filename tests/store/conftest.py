from tests.cluster_face import cluster, on_cluster
from tests.engine import clickhouse

__all__ = ["clickhouse", "cluster", "on_cluster"]
