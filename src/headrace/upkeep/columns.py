"""Joins Arrow streams into one, or into one Parquet file, piece by piece as they come. Knows no event.

Sources: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format and
https://parquet.apache.org/docs/file-format/
"""

import io
from importlib import import_module
from typing import Any

_CONTINUATION = b"\xff\xff\xff\xff"
_END = _CONTINUATION + bytes(4)


class ArrowFile:
    """An Arrow stream made of Arrow streams with the same columns: the schema comes once, and the end once."""

    def __init__(self) -> None:
        self._has_begun = False

    def add(self, piece: bytes, /) -> bytes:
        """What the piece adds to the stream."""
        start = 0
        if self._has_begun:  # its schema: a message without a body
            start = 8 + int.from_bytes(piece[4:8], "little")
        self._has_begun = True
        return piece[start:].removesuffix(_END)

    def end(self) -> bytes:
        """What closes the stream."""
        return _END


class ParquetFile:
    """A Parquet file; each Arrow stream becomes row groups of it. Only what describes them stays in memory."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: Any = None

    def add(self, piece: bytes, /) -> bytes:
        """What the piece adds to the file."""
        # Imported here: it takes 30 MB, and few servers export Parquet. It is there because the engine needs it.
        pa: Any = import_module("pyarrow")  # it says nothing of its types
        pq: Any = import_module("pyarrow.parquet")
        table = pa.ipc.open_stream(piece).read_all()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, table.schema, compression="zstd")
        self._writer.write_table(table)
        return self._sink.taken()

    def end(self) -> bytes:
        """What closes the file; nothing if there was no piece."""
        if self._writer is not None:
            self._writer.close()
        return self._sink.taken()


class _Sink(io.RawIOBase):
    """A file to write to of which each part is taken away once it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any, /) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def taken(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
