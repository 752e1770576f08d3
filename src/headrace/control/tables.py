"""The tables of the control database. Migrations make them; a test checks that both say the same."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    false,
)
from sqlalchemy import text as sql_text

from headrace.control.text import text

metadata = MetaData(
    naming_convention={  # a migration can only name what has a name
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("name", text(100), primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", text(40), primary_key=True),
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("style", text(20), nullable=False),
    Column("scopes", text(100), nullable=False),  # comma-separated
    Column("prefix", text(40), nullable=False),
    Column("hash", text(64), nullable=False, unique=True),  # SHA-256 of the secret, in hex
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Column("origins", text()),  # blanks between; null: any
)

offsets = Table(
    "offsets",
    metadata,
    Column("consumer", text(100), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

# A number that the database gives; SQLite does so only for its own INTEGER, which holds 64 bits.
_Number = BigInteger().with_variant(Integer, "sqlite")

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", _Number, primary_key=True),  # a project's rules are those with its greatest
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False, index=True),
    Column("version", text(16), nullable=False),
    Column("document", text(), nullable=False),  # JSON
    Column("applied_at_ms", BigInteger, nullable=False),
    Column("from_position", BigInteger, nullable=False, server_default="0"),  # they judge the events after it
)

rules = Table(  # one version of one rule's meaning; all that follows names rules by this number
    "rules",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False),
    Column("kind", text(10), nullable=False),
    Column("rule_id", text(64), nullable=False),
    Column("version", text(16), nullable=False),
    Column("failures", BigInteger, nullable=False),  # how often its condition had no truth value
    Column("failed_event", text(32), nullable=False),
    Column("failed_why", text(), nullable=False),
    Column("passed_over", BigInteger, nullable=False, server_default="0"),  # events too costly for its condition
    UniqueConstraint("project", "kind", "rule_id", "version"),
)

reaction_progress = Table(  # of a project and mode whose events have been reacted to
    "reaction_progress",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("behind", Boolean, nullable=False),  # whether later events, up to the offset of "reactions", still wait
    Column(
        "version", BigInteger, nullable=False
    ),  # grows with each transaction that changes the state of its reactions
)

passed_over = Table(  # events that a rule's condition did not look at
    "passed_over",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),  # 0: no rule looked at it
    Column("event_id", text(32), primary_key=True),
    Column("why", text(), nullable=False),
    sqlite_with_rowid=False,
)

overruns = Table(  # rules whose condition would have cost too much for events in a row
    "overruns",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),  # when the first of them was received
    Column("event_id", text(32), nullable=False),  # the last of them, or the one at which the rule was put aside
    Column("why", text(), nullable=False),
    Column("is_aside", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

attempts = Table(  # events at which a process ended while it reacted to them
    "attempts",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("attempts", Integer, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("name", text(255), nullable=False),
    UniqueConstraint("project", "mode", "name"),
)

markers = Table(
    "markers",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("counted", text(), nullable=False),  # numbers of the rules that counted it, with blanks between
    sqlite_with_rowid=False,
)

effects = Table(
    "effects",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("kind", text(10), nullable=False),
    Column("participant_no", BigInteger, nullable=False),  # 0 for none
    Column("at_ms", BigInteger, nullable=False),
    Column("detail", text(), nullable=False),  # JSON
    Index("ix_effects_participant_no", "participant_no", "event_id"),
    sqlite_with_rowid=False,
)

standings = Table(
    "standings",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("completions", BigInteger, nullable=False),
    Column("best", text(), nullable=False),  # exact
    Column("rank", Float, nullable=False),  # `best`, to sort by
    Index("ix_standings_rule_no", "rule_no", "completions", "rank"),
    sqlite_with_rowid=False,
)

buckets = Table(
    "buckets",
    metadata,
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("value", text(), nullable=False),
    sqlite_with_rowid=False,
)

awards = Table(
    "awards",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("badge", text(64), primary_key=True),
    Column("rule_no", BigInteger, nullable=False),
    Column("event_id", text(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),  # when an admin took it back; then it is held no more, and never earned again
    Column("revoked_why", text(), nullable=False, server_default=""),
    Index("ix_awards_badge", "badge", "participant_no"),
    sqlite_with_rowid=False,
)

points = Table(  # the ledger: entries are only ever added
    "points",
    metadata,
    Column("event_id", text(32), primary_key=True),  # of an entry that no event brought, an id of its own
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),  # 0: granted by an admin
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("participant_no", BigInteger, nullable=False, index=True),
    Column("points", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", text(10), nullable=False, server_default="earned"),  # earned, granted, rebuilt
    Column("credited", BigInteger, nullable=False, server_default="0"),  # not paid: earlier versions of the rule had
    Column("reason", text(), nullable=False, server_default=""),
    Index("ix_points_at_ms", "at_ms"),
    sqlite_with_rowid=False,
)

balances = Table(  # the sum of each participant's entries in the ledger, changed in the transaction that adds them
    "balances",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("balance", BigInteger, nullable=False),
    Index("ix_balances_project", "project", "mode", "balance"),
    sqlite_with_rowid=False,
)

grants = Table(  # points granted or deducted by an admin, by the key that the request was sent with
    "grants",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("key", text(255), primary_key=True),
    Column("entry_id", text(32), nullable=False),  # event_id in the ledger
    Column("request", text(), nullable=False),  # what was asked, as JSON: the same key with anything else is refused
    Column("balance", BigInteger, nullable=False),  # after it
    sqlite_with_rowid=False,
)

replays = Table(
    "replays",
    metadata,
    Column("id", text(40), primary_key=True),  # sorts by time of creation
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("status", text(10), nullable=False, index=True),
    Column("filters", text(), nullable=False),  # JSON
    Column("ids", BigInteger),
    Column("event_ids", text()),  # comma-separated
    Column("max_events", BigInteger),
    Column("force", Boolean, nullable=False),
    Column("upto", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("replayed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
    Column("effects", BigInteger, nullable=False),
    Column("suppressed", BigInteger, nullable=False),
    Column("rebuild", Boolean, nullable=False, server_default=false()),  # whether it corrects the ledger at its end
    Column("rules_applied", text(16), nullable=False, server_default=""),  # by which rules, as an id of rule_sets
    Column("corrections", BigInteger, nullable=False, server_default="0"),  # entries that a rebuild has added
    Column("corrected_points", BigInteger, nullable=False, server_default="0"),  # the sum of their points
    Column("errors", text(), nullable=False),  # JSON
    Column("problem", text(), nullable=False),
    Column("cursor_ms", BigInteger),
    Column("cursor_position", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("finished_at_ms", BigInteger),
)

tenants = Table(  # a row to lock: see locks.py
    "tenants",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    sqlite_with_rowid=False,
)

leases = Table(  # never deleted while its name may be used again, for its fence must not start anew
    "leases",
    metadata,
    Column("name", text(100), primary_key=True),  # "partition/0", "replay/<id>", …
    Column("owner", text(40), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),  # by the database's clock; 0: released
    sqlite_with_rowid=False,
)

erased = Table(  # events that were erased on purpose; together the two numbers make an event's id
    "erased",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tail", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(16), nullable=False),  # what a repeat of the event is recognised by; empty for none
    sqlite_with_rowid=False,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("id", text(80), nullable=False),  # once deleted, one that nobody can give: see DELETED in webhooks.py
    Column("url", text(), nullable=False),
    Column("topics", text(200), nullable=False),  # commas before, between and after
    Column("filters", text(), nullable=False),  # JSON
    Column("status", text(10), nullable=False),  # enabled, disabled, deleted
    Column("reason", text(), nullable=False),
    Column("secret", text(100), nullable=False),  # as it is: signing needs it
    Column("former_secret", text(100), nullable=False),
    Column("overlap_until_ms", BigInteger, nullable=False),  # until when the former secret signs, too
    Column("position", BigInteger, nullable=False),  # events up to it have become deliveries
    Column("is_full", Boolean, nullable=False),  # as many deliveries wait as may
    Column("failing_since_ms", BigInteger, nullable=False),  # 0: the last attempt succeeded
    Column("problem", text(), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("project", "mode", "id"),
    sqlite_autoincrement=True,  # a number is never given twice
)

deliveries = Table(  # written with what they tell of, in one transaction; the key is that effect's own
    "deliveries",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("webhook_no", _Number, ForeignKey(webhooks.c.no), nullable=False),
    Column("key", text(200), nullable=False),
    Column("topic", text(20), nullable=False),
    Column("body", text(), nullable=False),  # the bytes that are sent and signed
    Column("reply_to", text(), nullable=False),  # who waits for the reply to a call
    Column("status", text(10), nullable=False),  # waiting, delivered, dead
    Column("created_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("give_up_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("attempts", text(), nullable=False),  # JSON of the latest
    Column("problem", text(), nullable=False),
    UniqueConstraint("webhook_no", "key"),
    Index("ix_deliveries_status", "status", "webhook_no", "due_at_ms"),
    Index("ix_deliveries_webhook_no", "webhook_no", "no"),
)

journeys = Table(  # each version of each journey: runs finish on theirs
    "journeys",
    metadata,
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("definition", text(), nullable=False),  # JSON
    sqlite_with_rowid=False,
)

runs = Table(  # one person on the way through one version of a journey
    "runs",
    metadata,
    Column("id", text(40), primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("rule_no", BigInteger, nullable=False),  # counts before what `state` says: an apply may have moved the run
    Column("journey", text(64), nullable=False),
    Column("participant_no", BigInteger, nullable=False),
    Column("status", text(10), nullable=False),
    Column("step", text(64), nullable=False),
    Column("waiting", text(10), nullable=False),
    Column("due_ms", BigInteger),  # its timer
    Column("started_ms", BigInteger, nullable=False),
    Column("state", text(), nullable=False),  # JSON, all of it
    Index("ix_runs_participant_no", "participant_no", "status"),
    Index("ix_runs_journey", "project", "mode", "journey", "status", "started_ms", "id"),
    sqlite_with_rowid=False,
)
_is_set = runs.c.due_ms.is_not(None)
Index("ix_runs_due_ms", runs.c.project, runs.c.mode, runs.c.due_ms, sqlite_where=_is_set, postgresql_where=_is_set)

run_counts = Table(  # how often runs were at a step with an outcome, "" while they wait; without a step, runs by status
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

emits = Table(  # events that runs emit, until intake has them
    "emits",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("key", text(120), nullable=False, unique=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("emitted", text(), nullable=False),  # JSON
)

replies = Table(  # how calls of runs have ended, until the runs have gone on
    "replies",
    metadata,
    Column("key", text(120), primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("run_id", text(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reply", text()),  # JSON, "" for none; null: it was not delivered
    Column("problem", text(), nullable=False),
    sqlite_with_rowid=False,
)

quarantine = Table(  # entries of the log that cannot be read as they were written
    "quarantine",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tail", BigInteger, nullable=False),
    Column("kind", Integer, nullable=False),  # that it was written with
    Column("why", text(), nullable=False),
    Column("payload", LargeBinary, nullable=False),  # as it was read; empty once it was dropped
    Column("key", LargeBinary(16), nullable=False),
    Column("found_at_ms", BigInteger, nullable=False),
    Column("dropped_at_ms", BigInteger),  # null: it is put aside
)

person_ids = Table(  # an id that events call somebody by; a person is the ids that have its number
    "person_ids",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("id", text(255), nullable=False),
    Column("person_no", BigInteger, nullable=False),  # the number of the id that the person goes by
    Column("known", Boolean, nullable=False),  # a user's id, and not an anonymous visitor's
    Column("traits", text(), nullable=False),  # JSON: by name, [value, time, position, kind]
    UniqueConstraint("project", "mode", "id"),
    Index("ix_person_ids_person_no", "person_no"),
)
Index(  # those that a person goes by, to list people in the order in which they came
    "ix_person_ids_people",
    person_ids.c.project,
    person_ids.c.mode,
    person_ids.c.no,
    sqlite_where=sql_text("person_no = no"),
    postgresql_where=sql_text("person_no = no"),
)

person_joins = Table(  # what made two ids one person
    "person_joins",
    metadata,
    Column("kept_no", BigInteger, primary_key=True, autoincrement=False),
    Column("other_no", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("kind", text(10), nullable=False),
    Column("position", BigInteger, nullable=False),  # of the event that said so
    Column("undone", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

person_terms = Table(  # what people are found by, beside their ids
    "person_terms",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("term", text(200), primary_key=True),  # in lower case
    Column("id_no", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

person_groups = Table(
    "person_groups",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("type", text(60), nullable=False),
    Column("key", text(255), nullable=False),
    Column("traits", text(), nullable=False),  # as in person_ids
    Column("first_ms", BigInteger, nullable=False),  # when events first and last spoke of it
    Column("last_ms", BigInteger, nullable=False),
    UniqueConstraint("project", "mode", "type", "key"),
    Index("ix_person_groups_last_ms", "project", "mode", "last_ms"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_no", BigInteger, primary_key=True, autoincrement=False),
    Column("id_no", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("joined_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
