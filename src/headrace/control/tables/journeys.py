"""Journeys, their runs, and what runs are still to emit or to receive."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from headrace.control.tables.base import Number, metadata
from headrace.control.text import text

journeys = Table(  # every version of every journey: runs finish on the version they started with
    "journeys",
    metadata,
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("definition", text(), nullable=False),  # JSON
    sqlite_with_rowid=False,
)

runs = Table(  # one person's way through one version of a journey
    "runs",
    metadata,
    Column("id", text(40), primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column(
        "rule_no", BigInteger, nullable=False
    ),  # overrides the one in `state`: applying rules may have moved the run
    Column("journey", text(64), nullable=False),
    Column("participant_no", BigInteger, nullable=False),
    Column("status", text(10), nullable=False),
    Column("step", text(64), nullable=False),
    Column("waiting", text(10), nullable=False),
    Column("due_ms", BigInteger),  # its timer
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),  # null while it is active
    Column("state", text(), nullable=False),  # the whole run, as JSON
    Index("ix_runs_participant_no", "participant_no", "status"),
    Index("ix_runs_journey", "project", "mode", "journey", "status", "started_ms", "id"),
    sqlite_with_rowid=False,
)
_is_set = runs.c.due_ms.is_not(None)
Index("ix_runs_due_ms", runs.c.project, runs.c.mode, runs.c.due_ms, sqlite_where=_is_set, postgresql_where=_is_set)

_has_ended = runs.c.ended_ms.is_not(None)
Index("ix_runs_ended_ms", runs.c.ended_ms, sqlite_where=_has_ended, postgresql_where=_has_ended)

former_runs = Table(  # runs that were deleted some time after they had ended: entry limits still count them
    "former_runs",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("journey", text(64), nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),  # when the last of them started
    sqlite_with_rowid=False,
)

run_counts = Table(  # runs by step and outcome ("" while waiting); with an empty step, runs by status
    "run_counts",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("step", text(64), primary_key=True),
    Column("outcome", text(10), primary_key=True),
    Column("runs", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

emits = Table(  # events that runs emitted, until intake has accepted them
    "emits",
    metadata,
    Column("no", Number, primary_key=True),
    Column("key", text(120), nullable=False, unique=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("emitted", text(), nullable=False),  # JSON
)

replies = Table(  # outcomes of runs' calls, until the runs have handled them
    "replies",
    metadata,
    Column("key", text(120), primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("run_id", text(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reply", text()),  # JSON, "" for an empty one; null: the call was not delivered
    Column("problem", text(), nullable=False),
    sqlite_with_rowid=False,
)
