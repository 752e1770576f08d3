from tests.engine import clickhouse

__all__ = ["clickhouse"]
