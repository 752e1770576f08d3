"""Arrow streams that come piece by piece become one stream, or one Parquet file, that pyarrow reads."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.upkeep.columns import ArrowFile, ParquetFile

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float64())])


def stream(names: Sequence[str]) -> bytes:
    """An Arrow stream of its own, as the store gives it for a piece."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        if names:
            writer.write_batch(pa.record_batch([list(names), [float(len(each)) for each in names]], schema=SCHEMA))
    return sink.getvalue()


PIECES = [["a", "bb"], ["ccc"], [], ["d" * 5000, "e"]]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_pieces_become_one_stream_with_one_schema_and_one_end(count: int) -> None:
    file = ArrowFile()
    whole = b"".join(file.add(stream(names)) for names in PIECES[:count]) + file.end()
    reader = io.BytesIO(whole)
    table = pa.ipc.open_stream(reader).read_all()
    assert table.column("name").to_pylist() == [name for names in PIECES[:count] for name in names]
    assert table.schema == SCHEMA
    assert reader.read() == b"", "nothing comes after its end"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_pieces_become_one_parquet_file_of_which_each_part_is_given_once(count: int) -> None:
    file = ParquetFile()
    parts = [file.add(stream(names)) for names in PIECES[:count]]
    whole = b"".join(parts) + file.end()
    table = pq.read_table(io.BytesIO(whole))
    assert table.column("name").to_pylist() == [name for names in PIECES[:count] for name in names]
    assert table.column("value").to_pylist() == [float(len(name)) for names in PIECES[:count] for name in names]
    assert parts[0], "it does not wait for the end"
    assert pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(0).compression == "ZSTD"


def test_without_pieces_there_is_no_parquet_file() -> None:
    assert ParquetFile().end() == b""
