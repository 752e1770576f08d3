"""The erasure of a person: what is asked for, and the receipt of what was removed where. No I/O."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from headrace.model.event import Tenant

ErasureStatus = Literal["requested", "detached", "done"]
MAX_UNFINISHED = 1_000  # of one project and mode

PLACES = (
    "events",
    "log_entries",
    "quarantined",
    "ids",
    "memberships",
    "facts",
    "progress",
    "badges",
    "points_entries",
    "journey_runs",
    "journey_messages",
    "deliveries",
    "grants",
    "replays",
)
"""What a receipt counts, in its order."""


class Erasure(msgspec.Struct, frozen=True):
    """A receipt. Holds nothing by which the person could be known again.

    requested: nothing is removed yet, because events before it wait for their reactions. detached: no answer shows the person
    any more. done: the person is on no page of the databases, either. removed: by place, how much.
    """

    id: str
    tenant: Tenant
    status: ErasureStatus
    requested_at_ms: int
    finished_at_ms: int | None
    removed: Mapping[str, int]


class OpenErasure(msgspec.Struct, frozen=True):
    """One that is not done. ids: the person's, as far as they are known; the first is the one that was asked for.

    position: of its command in the log; None until it was read there. participants: their numbers, once detached.
    """

    id: str
    tenant: Tenant
    status: ErasureStatus
    ids: Sequence[str]
    position: int | None
    participants: Sequence[int]


class Notice(msgspec.Struct, frozen=True):
    """What a folder of backups is told of an erasure, so that whoever restores an older backup can do it again. Names nobody.

    marks: stand for the person's ids, see `mark_of`.
    """

    erasure: str
    project: str
    mode: Literal["live", "test"]
    requested_at_ms: int
    marks: Sequence[str]

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.project, self.mode)


MARK_CHARS = 32


def mark_space(tenant: Tenant, /) -> str:
    """What a mark's hash begins with: the same id in another project or mode has another mark."""
    return f"{tenant.project}/{tenant.mode}/"


def mark_of(tenant: Tenant, person_id: str, /) -> str:
    """Stands for an id in what is kept of an erasure: half of a SHA-256, in hex. The store computes it, too."""
    text = f"{mark_space(tenant)}{person_id}".encode("utf-8", "surrogatepass")
    return sha256(text).hexdigest()[:MARK_CHARS]


class ErasureCommand(msgspec.Struct, frozen=True):
    """The payload of an entry of the kind ERASURE. It names nobody: the log keeps it for a while."""

    erasure: str
    project: str
    mode: Literal["live", "test"]

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.project, self.mode)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ErasureCommand)


def encode_command(erasure_id: str, tenant: Tenant, /) -> bytes:
    return _encoder.encode(ErasureCommand(erasure_id, tenant.project, tenant.mode))


def decode_command(payload: bytes, /) -> ErasureCommand:
    """Raises msgspec.DecodeError."""
    return _decoder.decode(payload)
