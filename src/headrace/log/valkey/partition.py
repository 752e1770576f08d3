"""One of the log's partitions on a Valkey server, for the worker that stores it."""

from headrace.log.valkey.reading import ChunkReader
from headrace.log.valkey.server import LogServer
from headrace.ports.log import Log


class PartitionLog:
    """Fits the Log port. Trims nothing: the coordinator trims all partitions together."""

    def __init__(self, whole: Log, server: LogServer, partition: int) -> None:
        reader = ChunkReader(server, partition)
        self.read, self.held = reader.read, reader.held
        self.last = whole.last  # of all partitions: whatever is appended later comes after it, in this one as well
        self.size_bytes = whole.size_bytes

    def trim(self, _upto: int, /) -> int:
        """See the Log port."""
        return 0

    def give_back_room(self) -> None:
        """See the Log port."""
