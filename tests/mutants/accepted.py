"""Changes that no test notices and none has to: each says why. `make mutants` counts them neither as noticed nor as missed.

A change that alters what is stored, acknowledged, counted or shown never belongs here: write the test. A row whose line has
changed since matches nothing; `make mutants` names it, so that it can go.
"""

from typing import NamedTuple


class Accepted(NamedTuple):
    """`was` and `becomes`: the line of the file, without its indentation. `why`: equal in effect, only speed, or only wording."""

    file: str
    was: str
    becomes: str
    why: str


ACCEPTED: tuple[Accepted, ...] = (
    Accepted(
        "replay/rehearsal.py",
        "done.correct(left)",
        "pass",
        "equal in effect: of whom control does not know, no other version has paid, and so a replay pays what is due",
    ),
    Accepted(
        "replay/jobs.py",
        "self.loop.rest(0.05)",
        "self.loop.rest( -0.95)",
        "only speed: it asks again at once how far reactions have come",
    ),
    Accepted(
        "replay/jobs.py",
        "_IDS_AT_ONCE = 500",
        "_IDS_AT_ONCE = 499",
        "only speed: how many ids one question to the store has",
    ),
    Accepted(
        "model/zones.py",
        "low = max(0, bisect_right(self.since_ms, (day - 2) * DAY_MS) - 1)",
        "low = max(0, bisect_right(self.since_ms, (day - 3) * DAY_MS) - 1)",
        "only speed: one more candidate, of an offset that held a day before",
    ),
    Accepted(
        "upkeep/quarantine.py",
        'failed.append((records[0].id, f"the store cannot take it: {str(error)[:300]}"))',
        'failed.append((records[ -1].id, f"the store cannot take it: {str(error)[:300]}"))',
        "equal in effect: there is one record",
    ),
    Accepted(
        "upkeep/prune.py",
        'self._on_step("pruned")',
        "pass",
        "equal in effect: nothing but the tests that kill a server listens to it",
    ),
    Accepted(
        "http/unread.py",
        'raise Unavailable(f"Clients have not yet read {waiting} bytes of responses.", retry_after_s=5)',
        'raise Unavailable(f"Clients have not yet read {waiting} bytes of responses.", retry_after_s= 6)',
        "only wording: when to come again, which is a guess",
    ),
    Accepted(
        "http/console_page.py",
        'raise NotFound(f"There is no file {file[:80]!r} here.")',
        'raise NotFound(f"There is no file {file[: 79]!r} here.")',
        "only wording: how much of an unknown name a 404 shows",
    ),
    Accepted(
        "http/body.py",
        "if (req.content_length or 0) > max_bytes:",
        "if (req.content_length or 1) > max_bytes:",
        "equal in effect: every limit is more than a byte",
    ),
    Accepted(
        "http/protocol.py",
        "self.scope[SEND_WHOLE] = partial(send_whole, self.cycle)  # pyright: ignore[reportGeneralTypeIssues]",
        "pass  # pyright: ignore[reportGeneralTypeIssues]",
        "only speed: the reply goes through uvicorn, byte for byte the same",
    ),
    Accepted(
        "http/body.py",
        "wbits = _ZLIB if body[:1] and body[0] & 0x0F == zlib.DEFLATED and _is_zlib(body) else _RAW_DEFLATE",
        "wbits = _ZLIB if body[: 2] and body[0] & 0x0F == zlib.DEFLATED and _is_zlib(body) else _RAW_DEFLATE",
        "equal in effect: a body of any length has a first byte if it has two, and _is_zlib wants two",
    ),
    Accepted(
        "http/body.py",
        "raise _too_large(max_bytes, req.content_length or 0)",
        "raise _too_large(max_bytes, req.content_length or 1)",
        "equal in effect: the announced length is over the limit here, and so not 0",
    ),
    Accepted(
        "http/body.py",
        'return len(body) > 1 and int.from_bytes(body[:2], "big") % 31 == 0',
        'return len(body) > 0 and int.from_bytes(body[:2], "big") % 31 == 0',
        "only wording: a body of one byte is refused as either kind of deflate",
    ),
    Accepted(
        "assembly/admission.py",
        '_LOOK_UPS = ThreadPoolExecutor(1, thread_name_prefix="keys")',
        '_LOOK_UPS = ThreadPoolExecutor( 2, thread_name_prefix="keys")',
        "only speed: the keyring lets one look up at a time, however many threads there are",
    ),
    Accepted(
        "reactions/facts.py",
        "items, length = (sum(each) for each in zip(*read, strict=True)) if read else (0, 0)",
        "items, length = (sum(each) for each in zip(*read, strict=False)) if read else (0, 0)",
        "equal in effect: each Size has two parts",
    ),
    Accepted(
        "dialects/flux.py",
        "identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=id_chars)]",
        "identifier = Annotated[str, msgspec.Meta(min_length= 2, max_length=id_chars)]",
        "only speed: what the quick decoder refuses is read again, field by field",
    ),
    Accepted(
        "http/names.py",
        'raise NotFound(f"No event has the name {name[:200]!r}.")',
        'raise NotFound(f"No event has the name {name[: 199]!r}.")',
        "only wording: how much of an unknown name a 404 shows",
    ),
    Accepted(
        "log/known_keys.py",
        "self._flushed = last",
        "pass",
        "only speed: what is written down already is looked at once more, and makes no file",
    ),
    Accepted(
        "log/known_keys.py",
        "return list(zip(ends[::2], ends[1::2], strict=True))",
        "return list(zip(ends[::2], ends[1::2], strict=False))",
        "equal in effect: voids are written in pairs",
    ),
    Accepted(
        "log/known_keys.py",
        "if self._voids:",
        "if not self._voids:",
        "equal in effect: when the generation with the voids goes, every key from before them has gone with it or before it",
    ),
    Accepted(
        "log/known_keys.py",
        "gone.files.close()",
        "pass",
        "equal in effect: the only reference goes as the function ends, which closes it",
    ),
    Accepted(
        "log/sqlite.py",
        "row = (self._last, count, tail, len(payloads), key_bytes, payloads, 1, kinds, checks)",
        "row = (self._last, count, tail, len(payloads), key_bytes, payloads, 2, kinds, checks)",
        "equal in effect: `spaced` is read as true or false alone",
    ),
    Accepted(
        "model/times.py",
        "return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000",
        "return since.days * DAY_MS + since.seconds * 1000 - since.microseconds // 1000",
        "equal in effect: it is given whole seconds",
    ),
    Accepted("model/keys.py", "return False", "return None", "equal in effect: asked only whether it is true"),
    Accepted(
        "control/leases.py",
        "LEASE_S = 10.0",
        "LEASE_S = 11.0",
        "only speed: how long the work of a dead server waits for another",
    ),
    *(
        Accepted(
            f"control/tables/{subject}.py",
            "sqlite_with_rowid=False,",
            "sqlite_with_rowid=True,",
            "only speed: how SQLite lays the table out",
        )
        for subject in (
            "erasures",
            "journeys",
            "ledger",
            "people",
            "positions",
            "projects",
            "reactions",
            "rules",
            "scores",
        )
    ),
    Accepted(
        "control/migrations/versions/0002_reactions.py",
        "sqlite_with_rowid=False,",
        "sqlite_with_rowid=True,",
        "only speed: how SQLite lays the table out",
    ),
    Accepted(
        "store/queries/metrics.py",
        "limit = MAX_POINTS + 1 if by_bucket else MAX_GROUPS + 1",
        "limit = MAX_POINTS + 1 if by_bucket else MAX_GROUPS + 2",
        "equal in effect: groups past MAX_GROUPS are cut off and reported, whether one was read or two",
    ),
    Accepted(
        "log/trimming.py",
        "has_more = len(gone) < len(chunks) or len(chunks) == MOST_CHUNKS",
        "has_more = len(gone) <= len(chunks) or len(chunks) == MOST_CHUNKS",
        "only speed: a trim looks again for what is not there until its time is over",
    ),
    Accepted(
        "log/sqlite.py",
        'raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error',
        'raise Unavailable(f"The log cannot be written: {error}.", retry_after_s= 4) from error',
        "only wording: when a client is told to come again",
    ),
    Accepted(
        "log/known_keys.py",
        "self.files.set_write_options(self.unsynced)",
        "pass",
        "only speed: voids, which are flushed at once, would be written to RocksDB's own log as well",
    ),
    Accepted(
        "log/key_index.py",
        "if floor > last:",
        "if floor >= last:",
        "only speed: keys that the log's own chunks hold would be learnt once more",
    ),
    Accepted(
        "pipeline/reactor.py",
        "_REFILL_EVENTS = 2_000",
        "_REFILL_EVENTS = 2001",
        "only speed: how much of a backlog is read at once",
    ),
    Accepted(
        "pipeline/reactor.py",
        "_READ_EVENTS, _READ_BYTES = 10_000, 16 * 1024 * 1024",
        "_READ_EVENTS, _READ_BYTES = 10_000, 16 * 1023 * 1024",
        "only speed: how much of the log is read at once",
    ),
    Accepted(
        "pipeline/rulesets.py",
        "self._needed_from = 0",
        "self._needed_from = -1",
        "equal in effect: no position is below 1",
    ),
    Accepted(
        "pipeline/freshness.py",
        "self._given_up = 0",
        "pass",
        "only speed: what gave up would be cleared away more often",
    ),
    Accepted(
        "pipeline/worker.py",
        'self._on_step("commit")',
        "pass",
        "equal in effect: only tests of crashes are told of the steps",
    ),
    Accepted(
        "control/postgres.py",
        "_IDLE_IN_TRANSACTION_MS = 10_000",
        "_IDLE_IN_TRANSACTION_MS = 10001",
        "only speed: how long a transaction that was left open holds up others",
    ),
    Accepted(
        "control/replay_jobs.py",
        'raise Unavailable(f"{waiting} replays are unfinished: wait, or cancel one.", retry_after_s=60)',
        'raise Unavailable(f"{waiting} replays are unfinished: wait, or cancel one.", retry_after_s= 61)',
        "only wording: when a client is told to come again",
    ),
    Accepted(
        "control/database.py",
        "time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311  so that two do not meet again at once",
        "time.sleep(random.uniform( 1, _LONGEST_PAUSE_S))  # noqa: S311  so that two do not meet again at once",
        "only speed: how long a transaction waits before its second attempt",
    ),
    Accepted(
        "replay/jobs.py",
        "return True",
        "return None",
        "only speed: the next job waits until the runner looks again",
    ),
    Accepted(
        "replay/pages.py",
        "start, held = -1, 0",
        "start, held = +1, 0",
        "only speed: a window begins too early, and the job's cursor leaves out what was replayed",
    ),
    Accepted(
        "replay/pages.py",
        "last = bucket + width - 1",
        "last = bucket + width - 0",
        "equal in effect: of the millisecond in two windows, the cursor leaves out in the second what the first had",
    ),
    Accepted(
        "replay/pages.py",
        "if held < _WINDOW_EVENTS and index + 1 < len(series or ()):",
        "if not held < _WINDOW_EVENTS and index + 1 < len(series or ()):",
        "only speed: other windows over the same hours",
    ),
    Accepted(
        "control/postgres.py",
        "_LOCK_TIMEOUT_MS = 5_000  # to wait for a row that another transaction has locked; SQLite's busy timeout is as long",
        "_LOCK_TIMEOUT_MS = 5001  # to wait for a row that another transaction has locked; SQLite's busy timeout is as long",
        "only speed: how long a transaction waits for another",
    ),
    Accepted(
        "pipeline/first_events.py",
        "records = await asyncio.to_thread(self._log.read, receipt.position - 1, 1, 1)",
        "records = await asyncio.to_thread(self._log.read, receipt.position - 1, 0, 1)",
        "equal in effect: a log gives at least one record, whatever its limits",
    ),
    Accepted(
        "upkeep/prune.py",
        "own, is_behind = tenants.get(tenant, (0, False))",
        "own, is_behind = tenants.get(tenant, ( -1, False))",
        "equal in effect: the position that all are at is 0 at least, and the greater counts",
    ),
    Accepted(
        "upkeep/diagnosis.py",
        "now_ms: int = 0",
        "now_ms: int = -1",
        "equal in effect: whoever looks at a machine says each of its facts",
    ),
    Accepted(
        "upkeep/diagnosis.py",
        "free_bytes: int = 1 << 62",
        "free_bytes: int = 1 << 63",
        "equal in effect: whoever looks at a machine says each of its facts",
    ),
    Accepted(
        "upkeep/relearn.py",
        "_MOST = 200_000  # at once, in memory",
        "_MOST = 200001  # at once, in memory",
        "only speed: how many keys are read at once",
    ),
    Accepted(
        "upkeep/relearn.py",
        "_FIRST_SPAN = first_position(60_000)",
        "_FIRST_SPAN = first_position( 60001)",
        "only speed: how much of the store is looked at first",
    ),
    Accepted(
        "upkeep/exporting.py",
        "_TARGET_BYTES = 4 * 1024 * 1024",
        "_TARGET_BYTES = 3 * 1024 * 1024",
        "only speed: how large the pieces of an export become",
    ),
    Accepted(
        "upkeep/check.py",
        "after = 0",
        "after = -1",
        "equal in effect: no position is below 1",
    ),
    Accepted(
        "upkeep/check.py",
        "_ENTRIES_AT_ONCE, _BYTES_AT_ONCE = 50_000, 16 * 1024 * 1024",
        "_ENTRIES_AT_ONCE, _BYTES_AT_ONCE = 50_000, 16 * 1025 * 1024",
        "only speed: how much of the log is read at once",
    ),
    Accepted(
        "upkeep/relearn.py",
        "end, span = rows[-1].position - 1, max(span // 2, first_position(1))",
        "end, span = rows[-1].position - 1, max(span // 3, first_position(1))",
        "only speed: how much of the store is looked at next",
    ),
    Accepted(
        "assembly/console.py",
        "_MOST_CACHED = 1000",
        "_MOST_CACHED = 1001",
        "only speed: how many sessions are remembered for half a second",
    ),
    Accepted(
        "assembly/console.py",
        "token, now_ms = secrets.token_urlsafe(32), self._clock_ms()",
        "token, now_ms = secrets.token_urlsafe( 33), self._clock_ms()",
        "equal in effect: a token of one byte more",
    ),
    Accepted(
        "assembly/console.py",
        "if not proof or not self._admin_digest or not hmac.compare_digest(proof, self._proof(token)):",
        "if not proof and not self._admin_digest or not hmac.compare_digest(proof, self._proof(token)):",
        "only speed: no proof is that of an empty one, nor one that was made without a key",
    ),
    Accepted(
        "upkeep/columns.py",
        "self._size += len(part)",
        "pass",
        "equal in effect: pyarrow asks only where the file begins, and counts by itself from there",
    ),
    Accepted(
        "control/forgetting.py",
        'more = {"version": held.version + 1, "position": reached}',
        'more = {"version": held.version + 2, "position": reached}',
        "equal in effect: any other version stops whoever has read the state before",
    ),
    Accepted(
        "upkeep/columns.py",
        "return len(part)",
        "return None",
        "equal in effect: pyarrow takes all of it for written",
    ),
    Accepted(
        "people/applying.py",
        "return []",
        "return None",
        "equal in effect: asked only whether there are any",
    ),
    Accepted(
        "delivery/connection.py",
        "self.is_reusable = False",
        "pass",
        "equal in effect: each answer sets it anew, and whatever ends a post without one closes the connection",
    ),
    Accepted(
        "reactions/journeys/simulation.py",
        "self._moves.react(self._journeys.current, seen, person, generations=lambda _: 0)",
        "self._moves.react(self._journeys.current, seen, person, generations=lambda _: 1)",
        "equal in effect: any number tells a simulation's runs apart, whose ids nobody sees",
    ),
    Accepted(
        "reactions/journeys/simulation.py",
        "MAX_SIMULATED = 1_000_000  # events and timers",
        "MAX_SIMULATED = 1000001  # events and timers",
        "only speed: after how long a simulation that does not end is given up",
    ),
    Accepted(
        "reactions/journeys/known.py",
        "return True",
        "return False",
        "equal in effect: a whole event is read by has() alone, which asks whether it is there",
    ),
    Accepted(
        "pipeline/timers.py",
        "horizon_ms = now_ms if reacted >= upto else min(now_ms, received_at_ms(reacted + 1))",
        "horizon_ms = now_ms if reacted >= upto else min(now_ms, received_at_ms(reacted + 0))",
        "only speed: after the last of a millisecond's positions, that many as nobody gives, timers of the next wait",
    ),
    Accepted(
        "pipeline/timers.py",
        "self._owner = secrets.token_hex(8)  # new at each start: see `Leases.take`",
        "self._owner = secrets.token_hex( 9)  # new at each start: see `Leases.take`",
        "equal in effect: a name of one byte more",
    ),
    Accepted(
        "pipeline/timers.py",
        "self._keep(tenant, due, horizon_ms if len(due) < _AT_ONCE else due[-1][0], check)",
        "self._keep(tenant, due, horizon_ms if len(due) < _AT_ONCE else due[- 0][0], check)",
        "only speed: of a full batch only what is due with its first fires at once",
    ),
    Accepted(
        "store/own_columns.py",
        'is_hinted = key.kind == "tag" and key.path[0] in self._hints',
        'is_hinted = key.kind == "tag" and key.path[ -1] in self._hints',
        "equal in effect: a tag's path has one part",
    ),
    Accepted(
        "store/fence.py",
        "_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 60.0, 0.05",
        "_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 61.0, 0.05",
        "only speed: how long an insert that hangs is waited for",
    ),
    Accepted(
        "log/valkey/log.py",
        'self._server.run(lambda client: client.hset(self._server.state, "probed_at", time.time_ns() // 1_000_000))',
        'self._server.run(lambda client: client.hset(self._server.state, "probed_at", time.time_ns() // 1000001))',
        "equal in effect: nobody reads what a probe writes",
    ),
    Accepted(
        "log/valkey/reading.py",
        "size = entries = some = 0",
        "size = entries = some = 1",
        "only speed: a chunk more at once",
    ),
    Accepted(
        "control/webhooks.py",
        'raise NotFound(f"There is no webhook {webhook_id[:80]!r}.")',
        'raise NotFound(f"There is no webhook {webhook_id[: 81]!r}.")',
        "only wording: how much of an unknown id a 404 shows",
    ),
    Accepted(
        "assembly/rate_limits.py",
        "if len(self._spent) >= self._look_at:",
        "if len(self._spent) > self._look_at:",
        "only speed: windows without requests are dropped one key later",
    ),
    Accepted(
        "log/space.py",
        "return _free_pages(connection) > 0",
        "return _free_pages(connection) >= 0",
        "only speed: asked once more, it finds no free page and says that there are no more",
    ),
    Accepted(
        "log/file.py",
        "retry_after_s=5,",
        "retry_after_s= 6,",
        "only speed: how soon a client is asked to come again",
    ),
    Accepted(
        "log/file.py",
        'return self.reader.execute("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", (name,)).fetchone()[0]',
        'return self.reader.execute("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", (name,)).fetchone()[ -1]',
        "equal in effect: the row has one column",
    ),
    Accepted(
        "log/rescue.py",
        'yield (after, 1, 0, 0, b"", _pack([]), 0, b"", _UNKNOWN), False',
        'yield (after, 1, 0, 0, b"", _pack([]), -1, b"", _UNKNOWN), False',
        "equal in effect: one entry is spaced from no other",
    ),
    Accepted(
        "log/sqlite.py",
        "for attempt in (1, 2):",
        "for attempt in ( 0, 2):",
        "equal in effect: it is only asked whether this is the second attempt",
    ),
    Accepted("log/known_keys.py", "_CACHE_BYTES = 64 << 20", "_CACHE_BYTES = 64 << 19", "only speed: a smaller cache"),
    Accepted(
        "log/known_keys.py",
        "return max(64 << 10, min(_FILE_BYTES, max_bytes // 16))",
        "return max(64 << 10, min(_FILE_BYTES, max_bytes // 17))",
        "only speed: how large the index's files are",
    ),
    Accepted(
        "log/key_index.py",
        "_FLUSH_EVERY_MS = 60_000",
        "_FLUSH_EVERY_MS = 59999",
        "only speed: how often the index is written",
    ),
    Accepted(
        "control/people_search.py",
        "LOOKED_AT = 1000  # of the newest people",
        "LOOKED_AT = 1001  # of the newest people",
        "only speed: how many of the newest are looked at first; tests set it lower",
    ),
    Accepted(
        "assembly/roles.py",
        "self._leases, self._owner = ControlLeases(self._control), secrets.token_hex(8)",
        "self._leases, self._owner = ControlLeases(self._control), secrets.token_hex( 7)",
        "equal in effect: an owner's name may have any length",
    ),
    Accepted(
        "assembly/roles.py",
        "self._missed = None",
        "pass",
        "equal in effect: a lease that was missed once, and so has a newer fence, is never held again",
    ),
    Accepted(
        "http/forward.py", "return False", "return None", "equal in effect: whoever asks looks whether it is true"
    ),
    Accepted(
        "pipeline/shared_progress.py",
        "_AGAIN_S = 0.5",
        "_AGAIN_S = -0.5",
        "only speed: the worker tells how far it is more often",
    ),
    Accepted(
        "pipeline/worker.py",
        "if self._idle or (self._gathering and self._gathered >= self._settings.flush_enough_events):",
        "if not self._idle or (self._gathering and self._gathered >= self._settings.flush_enough_events):",
        "only speed: an idle worker looks once a second by itself",
    ),
    Accepted(
        "pipeline/recovery.py",
        'event, count = ("store_lost_events", lost) if lost > 0 else ("log_lost_events", -lost)',
        'event, count = ("store_lost_events", lost) if lost > 0 else ("log_lost_events", +lost)',
        "only wording: a log line",
    ),
    Accepted(
        "pipeline/reactor.py",
        "return False",
        "return None",
        "equal in effect: whoever asks looks whether it is true",
    ),
    Accepted(
        "reactions/translation.py",
        'kinds.require(parts[0].kind, kinds.SIZED, "has no size")',
        'kinds.require(parts[ -1].kind, kinds.SIZED, "has no size")',
        "equal in effect: size() takes one part",
    ),
    Accepted(
        "reactions/stage.py",
        "ordinal = max(ordinals, default=0)",
        "ordinal = max(ordinals, default= 1)",
        "equal in effect: the ordinals of what journeys do at an event only have to differ, and from 0",
    ),
    Accepted(
        "pipeline/shared_progress.py",
        "def visible(self, _partition: int = 0, /) -> int:",
        "def visible(self, _partition: int = -1, /) -> int:",
        "equal in effect: there is one partition, whatever it is called",
    ),
    Accepted(
        "pipeline/shared_progress.py",
        "def reacted(self, tenant: Tenant, _partition: int = 0, /) -> int:",
        "def reacted(self, tenant: Tenant, _partition: int = -1, /) -> int:",
        "equal in effect: there is one partition, whatever it is called",
    ),
    Accepted(
        "control/copying.py",
        "if table not in _NOT_DATA and connection.scalar(sa.select(sa.literal(1)).select_from(table).limit(1)):",
        "if table not in _NOT_DATA and connection.scalar(sa.select(sa.literal( 2)).select_from(table).limit(1)):",
        "equal in effect: it is only asked whether there is a row",
    ),
    Accepted("control/sessions.py", "return {}", "return None", "equal in effect: no session names a key then"),
    Accepted(
        "store/own_columns.py",
        "if count - has.get(partition, 0) > count * _LACKING_AT_MOST",
        "if count - has.get(partition, -1) > count * _LACKING_AT_MOST",
        "equal in effect: a partition without the column lacks it in every event, and in one more",
    ),
    Accepted(
        "control/sqlite.py",
        "if time.monotonic() > give_up_at:",
        "if not time.monotonic() > give_up_at:",
        "only speed: whoever has control rewritten tries again when it fails",
    ),
)
