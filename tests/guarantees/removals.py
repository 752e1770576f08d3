"""Takes each guarantee's mechanism out of a copy of the source and sees its test fail: `make guarantees`.

Each row is (what is promised, file, what is there, what is put in its place, the test that has to fail then). A row whose text is no longer
in the file, or whose test passes without the mechanism, fails the run. docs/guarantees.md says the same in words.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]

REMOVALS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "an acknowledged event is on disk",
        "log/file.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = OFF",
        "tests/log/test_sqlite.py::test_an_append_is_synced_before_it_returns",
    ),
    (
        "effects are told in their own transaction",
        "control/reaction_states.py",
        "            if self._outbox is not None and state.new_effects:",
        "            if False and self._outbox is not None:",
        "tests/contracts/test_control_deliveries.py::test_effects_are_enqueued_with_them_and_once_however_often_they_are_replayed",
    ),
    (
        "a message is enqueued once",
        "control/outbox.py",
        "connection.execute(insert(connection, deliveries).on_conflict_do_nothing(), rows)",
        "connection.execute(sa.insert(deliveries), rows)",
        "tests/contracts/test_control_deliveries.py::test_a_message_is_enqueued_once_by_its_key",
    ),
    (
        "a delivery is not over before it is recorded",
        "delivery/deliverer.py",
        "        self._queue.record(self._tried, self.lease, now_ms)",
        "        pass",
        "tests/delivery/test_deliverer.py::test_whatever_waits_is_delivered_once",
    ),
    (
        "a late sender records nothing",
        "control/delivery_queue.py",
        "            require(connection, lease)",
        "            pass",
        "tests/contracts/test_control_deliveries.py::test_a_late_sender_records_nothing",
    ),
    (
        "each matching event is enqueued once",
        "control/event_feed.py",
        "                .where(webhooks.c.position == wanted.after)\n",
        "",
        "tests/contracts/test_control_deliveries.py::test_events_are_enqueued_once_by_the_webhooks_own_position",
    ),
    (
        "how a call ended is handed over where it ends",
        "control/delivery_queue.py",
        "            hand_over(connection, self._replies, [(each.due.receiver.tenant, reply_of(each)) for each in ended])\n",
        "",
        "tests/contracts/test_control_deliveries.py::test_a_reply_is_handed_over_in_the_transaction_that_ends_the_call",
    ),
    (
        "a slow receiver has so many places and no more",
        "delivery/sender.py",
        "return lane.running < (self._lane_width if len(self._running) < MOST_AT_ONCE // 2 else 1)",
        "return True",
        "tests/delivery/test_sender.py::test_a_receiver_that_hangs_delays_nobody_else",
    ),
    (
        "a dead receiver is left alone for a while",
        "delivery/deliverer.py",
        "        health.again_at_ms = max(health.again_at_ms, now_ms + pause_ms)",
        "        pass",
        "tests/delivery/test_deliverer.py::test_a_receiver_that_fails_again_and_again_is_asked_once_in_a_while_until_it_answers",
    ),
    (
        "the address of a connection is checked",
        "delivery/client.py",
        "            if why := refusal(ipaddress.ip_address(address[0]), self._allowed):",
        "            if why := '':",
        "tests/delivery/test_sender.py::test_a_name_that_leads_inside_is_refused_at_each_try",
    ),
    (
        "only public addresses are allowed",
        "delivery/addresses.py",
        "    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:",
        "    if False:",
        "tests/delivery/test_addresses.py::test_an_address_that_is_not_of_the_public_internet_is_refused",
    ),
    (
        "a try has one time limit",
        "delivery/sender.py",
        "            async with asyncio.timeout(self._timeout_s):",
        "            async with asyncio.timeout(None):",
        "tests/delivery/test_sender.py::test_a_look_up_that_hangs_ends_with_the_try",
    ),
    (
        "of a reply little is read",
        "delivery/connection.py",
        "        if len(body) > room:",
        "        if len(body) > 10 * room:",
        "tests/delivery/test_sender.py::test_who_waits_for_a_reply_gets_its_json_or_is_told_why_not",
    ),
    (
        "both secrets sign during the overlap",
        "control/delivery_queue.py",
        "secrets = (row.secret, row.former_secret) if now_ms < row.overlap_until_ms else (row.secret,)",
        "secrets = (row.secret,)",
        "tests/contracts/test_control_deliveries.py::test_during_the_overlap_both_secrets_sign_the_newest_first",
    ),
    (
        "an acknowledged event survives SIGKILL",
        "log/sqlite.py",
        '            self._file.writer.execute("INSERT INTO chunks',
        (
            '            self._file.writer.in_transaction or self._file.writer.execute("BEGIN")\n'
            '            self._file.writer.execute("INSERT INTO chunks'
        ),
        "tests/log/test_sqlite.py::test_a_killed_process_leaves_each_acknowledged_entry_once",
    ),
    (
        "a crash or failure between any two steps stores once",
        "pipeline/worker.py",
        "self._recovery.missing(events) if records[0].position <= unsure_upto else events",
        "events",
        "tests/worker/test_worker.py::test_whatever_crashes_and_fails_each_event_is_stored_once",
    ),
    (
        "the committed position moves only after the insert",
        "pipeline/worker.py",
        "self._offsets.commit(position)",
        "pass",
        "tests/worker/test_worker.py::test_events_are_stored_and_committed_in_order",
    ),
    (
        "an insert is one part",
        "pipeline/months.py",
        "    if not records or _month(records[0]) == _month(records[-1]):\n        return records",
        "    return records",
        "tests/worker/test_worker.py::test_a_batch_is_cut_at_a_months_edge_of_the_time_of_receipt",
    ),
    (
        "what the store loses comes back from the log",
        "pipeline/recovery.py",
        "            self._repair(position)",
        "            pass",
        "tests/worker/test_worker.py::test_a_store_that_lost_young_events_gets_them_back",
    ),
    (
        "what was erased on purpose is not put back",
        "pipeline/recovery.py",
        "for listed in (self._erased, self._put_aside):",
        "for listed in (self._put_aside,):",
        "tests/worker/test_worker.py::test_what_was_erased_on_purpose_stays_erased_and_is_no_loss",
    ),
    (
        "what was erased on purpose is no data loss",
        "pipeline/recovery.py",
        "held.events - self._missed_on_purpose(after, position)",
        "held.events",
        "tests/worker/test_worker.py::test_what_was_erased_on_purpose_stays_erased_and_is_no_loss",
    ),
    (
        "what was erased before it was committed is not put back",
        "pipeline/recovery.py",
        "for each in (self._store, self._erased, self._put_aside))",
        "for each in (self._store, self._put_aside))",
        "tests/worker/test_worker.py::test_what_was_erased_before_it_was_committed_stays_erased",
    ),
    (
        "an erasure that was interrupted is ended",
        "pipeline/recovery.py",
        "            self._store.erase(sorted(back))",
        "            pass",
        "tests/worker/test_worker.py::test_an_erasure_that_a_crash_interrupted_is_ended_by_the_next_start",
    ),
    (
        "a check subtracts what was erased on purpose",
        "upkeep/check.py",
        "event.id not in ids and event.id not in forgotten",
        "event.id not in ids",
        "tests/crash/test_check.py::test_what_was_erased_on_purpose_is_no_problem_unless_it_is_still_stored",
    ),
    (
        "the key of an erased event is known again",
        "upkeep/relearn.py",
        "            log.learn(given, done=False)\n",
        "",
        "tests/crash/test_erased.py::test_a_retry_does_not_bring_back_an_erased_event_whose_key_only_the_list_has",
    ),
    (
        "an erased event is gone when the erasure is done",
        "store/queries/upkeep.py",
        " SETTINGS mutations_sync = 2",
        " SETTINGS mutations_sync = 0",
        "tests/contracts/test_store.py::test_erased_events_are_gone_from_every_answer_and_others_are_not",
    ),
    (
        "a command is not stored as an event",
        "pipeline/worker.py",
        "events, commands = split(records)",
        "events, commands = records, split(records)[1]",
        "tests/worker/test_worker.py::test_commands_are_handed_over_in_order_and_never_stored",
    ),
    (
        "every command is handed over",
        "pipeline/worker.py",
        "            self._commands(command.position, command.kind, command.payload)",
        "            pass",
        "tests/worker/test_worker.py::test_commands_are_handed_over_in_order_and_never_stored",
    ),
    (
        "a command is reacted to by nobody",
        "pipeline/reactor.py",
        "            if record.kind:  # a command:",
        "            if False:  # a command:",
        "tests/reactions/test_turns.py::test_commands_among_the_events_are_passed_over",
    ),
    (
        "a command is no event that was lost",
        "log/held.py",
        "        entries -= len(positions) - kinds.count(0, 0, len(positions))\n",
        "",
        "tests/contracts/test_log.py::test_what_is_held_counts_events_alone_and_knows_the_last_of_them",
    ),
    (
        "a repeated key is stored once",
        "log/key_index.py",
        "return {key: given for key, given in found.items() if given[0] >= oldest}",
        "return {}",
        "tests/contracts/test_log.py::test_a_repeated_key_in_a_later_call_writes_nothing",
    ),
    (
        "the same key twice in one batch is stored once",
        "log/sqlite.py",
        "                    known[entry.key] = given",
        "                    pass",
        "tests/contracts/test_log.py::test_a_repeated_key_within_one_call_writes_once",
    ),
    (
        "a key is known after a crash",
        "log/key_index.py",
        "        if self._indexed >= self._durable:",
        "        if True:",
        "tests/log/test_sqlite.py::test_keys_that_were_not_written_down_before_a_crash_come_from_the_chunks",
    ),
    (
        "a key outlives its trimmed entry",
        "log/key_index.py",
        "                    keys.flush()\n                except",
        "                    pass\n                except",
        "tests/log/test_sqlite.py::test_a_chunk_is_not_trimmed_before_the_index_has_its_keys_on_disk",
    ),
    (
        "a key is known for its whole window",
        "log/known_keys.py",
        "self._age_s(current) > self._window_s",
        "self._age_s(current) > self._window_s / 3",
        "tests/log/test_keys.py::test_no_key_goes_before_its_window_however_its_files_are_merged_and_none_stays_for_ever",
    ),
    (
        "no key is lost between two generations of the index",
        "log/known_keys.py",
        "        self.flush()\n        gone,",
        "        gone,",
        "tests/log/test_keys.py::test_a_crash_after_the_next_generation_was_flushed_loses_no_key_of_the_one_before",
    ),
    (
        "keys whose index is lost are known again",
        "assembly/adapters.py",
        "        relearn(self.log, self.store, self.erased, self.quarantine)\n",
        "",
        "tests/crash/test_lost_files.py::test_keys_whose_index_is_lost_are_learnt_again_from_the_store",
    ),
    (
        "keys of an index of the first layout are known again",
        "log/key_index.py",
        "            if self._files_of_first_layout():",
        "            if False:",
        "tests/crash/test_lost_files.py::test_keys_whose_index_is_lost_are_learnt_again_from_the_store",
    ),
    (
        "a line of log that cannot be written holds nothing up",
        "assembly/logs.py",
        "        with suppress(OSError):\n            self._stream.write(text)",
        "        self._stream.write(text)",
        "tests/crash/test_log_lines.py::test_a_server_that_cannot_log_a_failure_goes_on_after_it",
    ),
    (
        "keys of what a cut back log lacks are known again",
        "log/key_index.py",
        "            if floor > last:\n",
        "            if floor > last == 0:\n",
        "tests/crash/test_lost_files.py::test_keys_of_what_a_cut_back_log_lacks_and_the_store_has_are_learnt_again",
    ),
    (
        "a spoilt event costs no other of its batch",
        "dialects/spoilt.py",
        "        text = _confined(text, arrays, lines)\n",
        "        return None\n",
        "tests/dialects/test_neighbours.py",
    ),
    (
        "text cut inside an emoji costs nothing",
        "dialects/spoilt.py",
        "    text = whole_characters(body.removeprefix(_BOM))\n",
        "    text = body.removeprefix(_BOM)\n",
        "tests/dialects/test_neighbours.py",
    ),
    (
        "a refused item, corrected and sent again, is a new event",
        "model/repeats.py",
        "        digest = blake2b(item, digest_size=16).hexdigest()\n",
        '        digest = "x"\n',
        "tests/http/test_idempotency.py",
    ),
    (
        "a repeat is answered with what is stored",
        "http/ingest.py",
        "        if does.shows_event:\n",
        "        if False:\n",
        "tests/http/test_idempotency.py",
    ),
    (
        "a repeat is answered with what is stored also when the log has let go of it",
        "pipeline/first_events.py",
        "        return found[0] if found else sent\n",
        "        return sent\n",
        "tests/http/test_idempotency.py",
    ),
    (
        "a cursor belongs to its filters",
        "dialects/flux_queries.py",
        "    if match[3].decode() != filtered_by:\n",
        "    if False:\n",
        "tests/http/test_unknown_names.py",
    ),
    (
        "an unknown parameter is refused",
        "http/app.py",
        'Strict() if settings.unknown_parameters == "reject" else None',
        "None",
        "tests/http/test_unknown_names.py",
    ),
    (
        "keys that came in a header are known again",
        "model/repeats.py",
        "replace(event, request_id=key, ",
        "replace(event, ",
        "tests/crash/test_lost_keys.py",
    ),
    (
        "a check finds what a disk has changed",
        "upkeep/check.py",
        "if damaged := store.damaged():",
        "if damaged := []:",
        "tests/crash/test_check.py::test_a_part_whose_bytes_are_not_what_was_written_is_a_problem",
    ),
    (
        "what an older copy of the log lacks is no repeat",
        "log/key_index.py",
        "self._durable = self._void_keys_of_lost_entries(max(last, floor))",
        "self._durable = max(last, floor)",
        "tests/crash/test_lost_files.py::test_a_retry_of_what_an_older_copy_of_the_folder_lacks_is_stored_and_not_taken_for_a_repeat",
    ),
    (
        "the index of keys works again after a full disk",
        "log/key_index.py",
        "                self._reopen()\n",
        "",
        "tests/crash/test_disk.py::test_no_room_for_known_keys_refuses_keyed_events_alone_until_there_is",
    ),
    (
        "a position is never used again",
        "model/event.py",
        "max((last | STEP - 1) + 1, first_position(now_ms)) + partition",
        "first_position(now_ms) + partition",
        "tests/contracts/test_log.py::test_positions_increase_while_the_clock_stands_still_or_goes_back",
    ),
    (
        "two logs never give one position",
        "model/event.py",
        "first_position(now_ms)) + partition",
        "first_position(now_ms))",
        "tests/contracts/test_log.py::test_two_partitions_that_append_at_once_never_give_one_position",
    ),
    (
        "a log from before there were partitions keeps its positions",
        "log/reading.py",
        "step = STEP if spaced else 1",
        "step = STEP",
        "tests/log/test_old_files.py",
    ),
    (
        "a record says what it is",
        "log/reading.py",
        "map(Record, positions, tails, chunk, kinds) if kinds else map(Record, positions, tails, chunk)",
        "map(Record, positions, tails, chunk)",
        "tests/contracts/test_log.py::test_a_record_says_what_it_is_also_after_reopening_and_when_it_is_read_alone",
    ),
    (
        "a query sees every event acknowledged before it",
        "pipeline/freshness.py",
        "        if not behind:\n",
        "        if True:\n",
        "tests/guarantees/test_fresh.py",
    ),
    (
        "no more queries wait than may",
        "pipeline/queries.py",
        "if self._taken >= self._most:",
        "if False:",
        "tests/guarantees/test_bounded.py",
    ),
    (
        "a query ends when its client hangs up",
        "http/connection.py",
        "            hang_up()\n",
        "            pass\n",
        "tests/guarantees/test_bounded.py",
    ),
    (
        "no query leaves its tenant",
        "store/queries/conditions.py",
        '"project = {project:String}", ',
        "",
        "tests/queries/test_text.py::test_every_question_is_bound_to_a_project_and_a_mode",
    ),
    (
        "a failed query leaks nothing",
        "store/engine.py",
        "            client.close()  # not back to the pool",
        "            self._idle.append(client)  # back to the pool",
        "tests/store/test_leak.py",
    ),
    (
        "a revoked key stops within a second",
        "control/keyring.py",
        "0 <= now_ms - seen_at_ms < self._fresh_for_ms",
        "True",
        "tests/control/test_keyring.py::test_a_revoked_key_stops_within_a_second",
    ),
    (
        "a full log refuses",
        "log/sqlite.py",
        "if self._bytes >= self._max_bytes:",
        "if False:",
        "tests/contracts/test_log.py::test_a_full_log_refuses_and_stores_nothing_until_it_is_trimmed",
    ),
    (
        "what waits for the log is bounded",
        "pipeline/intake.py",
        "if self._queued_bytes + request.bytes > self._max_queue_bytes:",
        "if False:",
        "tests/guarantees/test_intake.py::test_more_than_the_queue_may_hold_is_refused_and_stores_nothing",
    ),
    (
        "the bodies of all requests together are bounded",
        "http/body.py",
        "if self.held_bytes + size > self._max_bytes:",
        "if False:",
        "tests/http/test_overload.py::test_bodies_that_together_are_too_large_are_refused_until_others_are_answered",
    ),
    (
        "connections are bounded, and those that were there first are served on",
        "http/connection.py",
        "self._one_too_many = self._max_connections is not None and len(self.connections) > self._max_connections",
        "self._one_too_many = False",
        "tests/http/test_overload.py::test_a_thousand_slow_connections_cost_little_and_hold_up_nobody",
    ),
    (
        "no query adds to replies that nobody reads",
        "http/unread.py",
        "if waiting > self._max_bytes:",
        "if False:",
        "tests/http/test_overload.py::test_while_large_replies_wait_to_be_read_queries_are_refused_and_events_taken",
    ),
    (
        "a client that does not read is disconnected",
        "http/unread.py",
        "            transport.abort()",
        "            pass",
        "tests/http/test_overload.py::test_a_client_that_does_not_read_its_reply_is_hung_up_on",
    ),
    (
        "a client that is still sending reads its refusal",
        "http/connection.py",
        "        if self._is_ending() or self._half_closed:",
        "        if True:",
        "tests/http/test_last_replies.py::test_a_body_past_the_limit_is_answered_413_to_who_reads_after_sending_all",
    ),
    (
        "a request that is cut at shutdown is told to come again",
        "http/refusals.py",
        "        except asyncio.CancelledError:\n",
        "        except ZeroDivisionError:\n",
        "tests/http/test_shutdown.py::test_a_request_that_is_cut_is_told_to_come_again_in_its_dialects_words",
    ),
    (
        "who gave up waiting for the store takes no room",
        "pipeline/freshness.py",
        "                self._forget_some()\n",
        "                pass\n",
        "tests/guarantees/test_bounded.py::test_those_who_gave_up_waiting_take_no_room_while_nothing_moves",
    ),
    (
        "requests at once do not get past a rate limit",
        "assembly/rate_limits.py",
        "if not allowed:",
        "if False:",
        "tests/http/test_overload.py::test_requests_at_once_do_not_get_past_a_limit_and_each_is_told_what_is_left",
    ),
    (
        "a wall clock that is set refuses no key for longer",
        "assembly/rate_limits.py",
        "now_s = self._monotonic_s()",
        "now_s = self._clock_s()",
        "tests/admission/test_rate_limits.py::test_a_wall_clock_that_is_set_holds_nobody_up_and_lets_nobody_through",
    ),
    (
        "a publishable key works on its own pages alone",
        "model/keys.py",
        "sent[2].endswith(domain)",
        "sent[2].endswith(domain[1:])",
        "tests/admission/test_admission.py::test_a_publishable_key_is_refused_on_any_other_page",
    ),
    (
        "no cookie ever counts",
        "assembly/admission.py",
        """        if not secret:
            raise MissingKey
""",
        """        if not secret:
            return Admitted(Tenant("default", "live"))
""",
        "tests/http/test_cookies.py::test_a_request_with_nothing_but_cookies_is_refused",
    ),
    (
        "an event counts once for a version of a rule, also when it is delivered again or replayed",
        "reactions/stage.py",
        "if bucket is None or state.was_counted(seen.event_id, challenge.no):",
        "if bucket is None:",
        "tests/reactions/test_once.py::test_what_is_delivered_again_counts_and_causes_nothing_again",
    ),
    (
        "an event causes an effect once",
        "reactions/effects.py",
        "if (rule_no, effect.ordinal) in self._happened:",
        "if False:",
        "tests/reactions/test_once.py::test_a_replay_suppresses_what_was_caused_and_counts_nothing_again",
    ),
    (
        "effects and the position that they rest on are kept together",
        "control/reaction_saving.py",
        "self._claim(state.version, position)",
        "self._claim(state.version, 0)",
        "tests/reactions/test_once.py::test_a_crash_keeps_all_of_a_transaction_or_nothing",
    ),
    (
        "no evaluation takes more work than its bound, whatever the event",
        "reactions/cost.py",
        "if work > EVALUATION_NS or fresh > handing_left or work + fresh > work_left:",
        "if work < 0:",
        "tests/reactions/test_cost.py::test_over_the_largest_event_only_what_is_within_the_bound_is_evaluated",
    ),
    (
        "what costs too much over a modest event is refused when it is applied",
        "reactions/conditions.py",
        "if (work := self.work.at_most(cost.MODEST)) > cost.EVALUATION_NS:",
        "if (work := self.work.at_most(cost.MODEST)) < 0:",
        "tests/reactions/test_cost.py::test_the_document_that_stopped_a_server_is_refused_with_the_term_named",
    ),
    (
        "what all rules that one event reaches cost together is bounded when they are applied",
        "reactions/reach.py",
        "    if work <= REACH_NS:",
        "    if work >= 0:",
        "tests/reactions/test_cost.py::test_the_rules_that_one_event_can_reach_are_bounded_together",
    ),
    (
        "… and for each event",
        "reactions/cost.py",
        "        work_left -= work + fresh",
        "        pass",
        "tests/reactions/test_cost.py::test_what_one_event_reaches_is_bounded_together_and_the_cheapest_rules_come_first",
    ),
    (
        "two who change one person's progress at once lose nothing of it",
        "control/reaction_saving.py",
        "where=held.version == version",
        "where=sa.true()",
        "tests/reactions/test_turns.py::test_two_who_change_one_persons_progress_at_once_lose_nothing_of_it",
    ),
    (
        "a project with much to react to delays no other",
        "pipeline/reaction_queue.py",
        "        self._after_newcomer = bool(self._newcomers) and not (self._after_newcomer and self._waiting)\n",
        "        self._after_newcomer = not self._waiting\n",
        "tests/reactions/test_turns.py::test_a_project_with_much_to_react_to_delays_no_other",
    ),
    (
        "events are judged by the rules that were in force when they were acknowledged",
        "pipeline/rulesets.py",
        "            if from_position < position:\n",
        "            if True:\n",
        "tests/reactions/test_turns.py::test_events_are_judged_by_the_rules_in_force_when_they_were_acknowledged",
    ),
    (
        "an event at which processes end is passed over",
        "pipeline/reaction_turns.py",
        "                if each.id in self._poisonous:\n",
        "                if False:\n",
        "tests/reactions/test_turns.py::test_an_event_at_which_two_processes_ended_is_passed_over_and_listed",
    ),
    (
        "names are listed however many there are",
        "store/catalog.py",
        "            rows = self._rows(queries.observed_lately(*asked))\n",
        "            raise\n",
        "tests/store/test_clickhouse.py::test_however_many_names_somebody_sends_names_and_catalogue_are_answered",
    ),
    (
        "only their own tenant is told which events were passed over",
        "control/rulebook.py",
        "            .where(passed_over.c.project == tenant.project, passed_over.c.mode == tenant.mode)\n",
        "",
        "tests/contracts/test_control.py::test_events_that_a_rule_did_not_look_at_are_counted_and_listed_to_their_own_tenant",
    ),
    (
        "what a project has still to react to when the log is trimmed comes from the store",
        "pipeline/reactor.py",
        "behind = {queue.tenant: queue.reacted for queue in self._queues.all()}",
        "behind: dict[Tenant, int] = {}",
        "tests/reactions/test_turns.py::test_what_waits_survives_a_restart_after_the_log_was_trimmed",
    ),
    (
        "no project gets the events of another's key in one batch",
        "dialects/sdk.py",
        "    if len(found) > 1:",
        "    if not found:",
        "tests/dialects/test_sdk_batches.py::test_a_batch_of_two_keys_is_refused_and_no_project_gets_the_others_events",
    ),
    (
        "a rate limit makes no SDK drop events",
        "dialects/posthog_routes.py",
        "statuses=((errors.RateLimited, 503),),",
        "",
        "tests/http/test_families.py::test_a_rate_limit_holds_for_a_key_in_the_body_too",
    ),
    (
        "requests that wait for their turn fill no memory",
        "http/connection.py",
        "return not self.pipeline and not self._unparsed and self._last_words is None",
        "return self._last_words is None",
        "tests/http/test_pipelines.py::test_requests_that_wait_for_their_turn_wait_as_bytes",
    ),
    (
        "a refusal waits for the replies to the requests before it",
        "http/connection.py",
        "elif self._in_body or not self.cycle or self.cycle.response_complete:",
        "else:",
        "tests/http/test_pipelines.py::test_what_comes_before_a_refused_request_is_answered_first",
    ),
    (
        "what a request has beside its body is bounded",
        "http/protocol.py",
        "        if self._bare_bytes > _MAX_HEAD_BYTES:",
        "        if self._in_head and self._bare_bytes > _MAX_HEAD_BYTES:",
        "tests/http/test_pipelines.py::test_trailers_without_end_are_refused_long_before_they_fill_the_memory",
    ),
    (
        "a trailer gives nobody a key",
        "http/protocol.py",
        "        self.headers = []  # trailers go there",
        "        # trailers go there",
        "tests/http/test_pipelines.py::test_a_trailer_is_no_header",
    ),
    (
        "a former owner's late commit is refused",
        "control/leases.py",
        "    if connection.scalar(held) is None:",
        "    if connection.scalar(held) == -1:",
        "tests/contracts/test_control_leases.py::test_a_former_owners_commit_is_refused_with_all_that_is_in_it",
    ),
    (
        "a worker that lost its lease takes it again before it stores more",
        "pipeline/recovery.py",
        "self._offsets.take_again() or self._is_retaken",
        "False",
        "tests/worker/test_worker.py::test_a_worker_that_lost_its_lease_stores_nothing_while_another_holds_it_and_misses_no_event_afterwards",
    ),
    (
        "a worker that has its lease again goes on after its own last commit",
        "pipeline/recovery.py",
        "            position = min(position, done)\n",
        "            pass\n",
        "tests/worker/test_worker.py::test_a_worker_that_lost_its_lease_stores_nothing_while_another_holds_it_and_misses_no_event_afterwards",
    ),
    (
        "nobody takes a lease between its check and the commit",
        "control/leases.py",
        ".where(_is(lease)).with_for_update(read=True)",
        ".where(_is(lease))",
        "tests/contracts/test_control_leases.py::test_nobody_takes_a_lease_between_its_check_and_the_commit",
    ),
    (
        "a process that starts again does not adopt its old lease",
        "control/leases.py",
        "self._process = secrets.token_hex(8)",
        'self._process = "process"',
        "tests/contracts/test_control_leases.py::test_a_process_that_starts_again_does_not_adopt_its_predecessors_lease",
    ),
    (
        "two runners do not work on one job",
        "control/leases.py",
        "        held = sa.and_(leases.c.owner",
        "        held = sa.and_(sa.false(), leases.c.owner",
        "tests/contracts/test_control_jobs.py::test_a_job_is_one_runners_until_its_lease_expires",
    ),
    (
        "a runner that was taken over commits no slice",
        "control/replay_jobs.py",
        "        require(connection, taken.lease)\n\n    def finish",
        "\n    def finish",
        "tests/contracts/test_control_jobs.py::test_a_runner_that_was_taken_over_commits_nothing_more",
    ),
    (
        "two that ask for the last place of a limit do not both get it",
        "control/replay_jobs.py",
        "            lock_tenant(connection, job.tenant)",
        "            assert lock_tenant",
        "tests/contracts/test_control_jobs.py::test_two_that_ask_for_the_last_place_at_once_do_not_both_get_it",
    ),
    (
        "a transaction that PostgreSQL undid for another's sake is run again",
        "control/database.py",
        "            if attempt == _MOST_ATTEMPTS:",
        "            if attempt:",
        "tests/contracts/test_control.py::test_a_transaction_undone_by_a_deadlock_is_run_again",
    ),
    (
        "a user id that PostgreSQL cannot keep breaks no reaction",
        "control/text.py",
        "_REFUSED.sub(_escape, value)",
        "value",
        "tests/contracts/test_control.py::test_whatever_users_are_called_reactions_count_and_show_them",
    ),
    (
        "a clean shutdown exits with 0 when nobody reads stderr",
        "assembly/logs.py",
        "    sys.stderr = _open_stderr()\n",
        "",
        "tests/crash/test_log_lines.py::test_a_server_that_cannot_log_a_failure_goes_on_after_it[buffered]",
    ),
    (
        "what the engine prints as it starts is one line of the log",
        "store/clickhouse.py",
        "with stderr_logged():",
        "if True:",
        "tests/crash/test_log_lines.py::test_what_the_engine_prints_as_it_starts_is_one_line_of_the_log",
    ),
    (
        "what is not what was written is given to nobody",
        "log/checks.py",
        " or checks[8:12] != _one(crc32(packed)):",
        ":",
        "tests/log/test_spoilt.py::test_one_changed_byte_costs_one_entry_and_none_of_its_neighbours",
    ),
    (
        "what cannot be read is listed",
        "pipeline/quarantine.py",
        "    new = put_aside.add([_quarantined(each, now_ms) for each in unreadable])\n",
        "    new = 0\n",
        "tests/worker/test_worker.py::test_what_cannot_be_read_is_put_aside_and_holds_nothing_up",
    ),
    (
        "what was put aside is stored by no start",
        "pipeline/recovery.py",
        "for listed in (self._erased, self._put_aside):",
        "for listed in (self._erased,):",
        "tests/worker/test_worker.py::test_what_was_put_aside_before_a_commit_that_failed_is_not_stored_when_it_can_be_read_again",
    ),
    (
        "a sender may repeat what was dropped",
        "upkeep/quarantine.py",
        "            self._log.forget(after, upto)\n",
        "            pass\n",
        "tests/quarantine/test_over_a_server.py::test_what_is_dropped_stays_dropped_and_a_repeat_of_it_is_a_new_event",
    ),
    (
        "a damaged page loses nothing that lies elsewhere",
        "log/file.py",
        "                rescue(self._path, self._clock_ms(), first_position(self._clock_ms() + _A_YEAR_MS))\n",
        "                raise\n",
        "tests/log/test_spoilt.py::test_wherever_the_file_is_damaged_what_can_be_read_is_and_the_rest_is_told",
    ),
    (
        "a reply is JSON whatever is stored",
        "dialects/wire.py",
        "        _raw_decoder.decode(raw)\n    except msgspec.DecodeError:\n        return msgspec.Raw(_encoder",
        "        pass\n    except msgspec.DecodeError:\n        return msgspec.Raw(_encoder",
        "tests/dialects/test_unreadable.py::test_what_is_no_json_is_shown_as_text",
    ),
    (
        "identify never joins two known users",
        "people/applying.py",
        'if by == "identify" and (any(each.known for each in theirs) or (kept, other) in state.parted):',
        'if by == "identify" and (kept, other) in state.parted:',
        "tests/people/test_applying.py::test_identify_never_joins_two_known_users_on_a_shared_device",
    ),
    (
        "a placeholder joins nobody",
        "people/applying.py",
        'return "" if id.strip().casefold() in placeholders else id',
        "return id",
        "tests/people/test_applying.py::test_a_placeholder_joins_nothing_and_is_nobody",
    ),
    (
        "traits keep the newest value by the events' time",
        "people/traits.py",
        'if held is None or held.kind == "once" or _moment(cell) >= _moment(held):',
        "if held is None or cell is not held:",
        "tests/people/test_model.py::test_people_are_what_a_small_model_says_whatever_happens",
    ),
    (
        "an event that was erased while it waited says nothing about people",
        "pipeline/people.py",
        "if not self._erased.count(after, upto):",
        "if True:",
        "tests/people/test_stage.py::test_an_event_that_was_erased_while_it_waited_says_nothing",
    ),
    (
        "no statement is overlooked while the log is not read",
        "pipeline/statement_watch.py",
        "return not self._in_flight and self._latest <= after",
        "return self._latest <= after",
        "tests/people/test_stage.py::test_the_log_is_read_while_an_append_is_under_way_and_until_what_it_holds_was_read",
    ),
    (
        "an event starts a version of a journey once",
        "reactions/stage.py",
        "        if journey.no not in begun:\n            return 0\n",
        "        if True:\n            return begun.get(journey.no, -1) + 1\n",
        "tests/journeys/test_timers.py::test_an_event_starts_a_version_once_and_forced_again_as_the_limits_allow",
    ),
    (
        "an event moves a run once",
        "reactions/journeys/machine.py",
        " or seen.position <= run.position:",
        ":",
        "tests/journeys/test_machine.py::test_an_event_that_is_not_past_a_runs_position_does_not_move_it",
    ),
    (
        "a timer fires before events that came later",
        "reactions/journeys/stage.py",
        "            self.fire([run for run in self._state.of(person) if run.rule_no in self._knows], seen.at_ms)",
        "            pass",
        "tests/journeys/test_stage.py::test_a_timer_that_is_due_fires_before_an_event_that_came_later",
    ),
    (
        "a timer waits for events received before it",
        "pipeline/timers.py",
        "horizon_ms = now_ms if reacted >= upto else min(now_ms, received_at_ms(reacted + 1))",
        "horizon_ms = now_ms",
        "tests/journeys/test_timers.py::test_a_timer_waits_for_events_that_were_received_before_it",
    ),
    (
        "what a run emits survives a crash",
        "control/journeys.py",
        "    if state.emitted:\n",
        "    if False:\n",
        "tests/journeys/test_timers.py::test_a_crash_anywhere_emits_each_event_once",
    ),
    (
        "what a run emits is stored once",
        "model/journeys.py",
        "            message_id=self.key,\n",
        "",
        "tests/journeys/test_timers.py::test_a_crash_anywhere_emits_each_event_once",
    ),
    (
        "a run finishes on its version",
        "pipeline/rulesets.py",
        "            rules.learn(journeys.values())",
        "            pass",
        "tests/journeys/test_timers.py::test_a_run_finishes_on_its_version_when_the_journey_is_gone",
    ),
    (
        "who has lost the timers' lease moves no run",
        "pipeline/timers.py",
        '            self._on_step("fire")\n            check(transaction)\n',
        '            self._on_step("fire")\n',
        "tests/journeys/test_timers.py::test_who_has_lost_the_lease_moves_no_run",
    ),
    (
        "journeys that start each other come to an end",
        "reactions/journeys/machine.py",
        "            if run.depth >= MAX_DEPTH:",
        "            if False:",
        "tests/journeys/test_machine.py::test_an_emitted_event_says_where_it_is_from_and_its_chain_ends",
    ),
    (
        "a fact that another version of its rule has paid for is not paid again",
        "reactions/effects.py",
        "            points -= self._paid_by_others(rule_no)",
        "            pass",
        "tests/http/test_rebuild.py::test_a_field_more_changes_nobodys_result_and_a_replay_pays_nothing_again",
    ),
    (
        "completions that other versions of a challenge have paid for are credited in a replay",
        "pipeline/reactions.py",
        "event_facts.needs(rules, found, replayed=True)",
        "event_facts.needs(rules, found)",
        "tests/http/test_rebuild.py::test_a_challenge_with_another_goal_pays_only_beyond_what_was_paid",
    ),
    (
        "two deductions at once never both find enough",
        "control/grants.py",
        "            lock_tenant(connection, tenant)  # else two deductions at once would both find enough\n",
        "",
        "tests/contracts/test_control_grants.py::test_two_deductions_at_once_never_both_find_enough",
    ),
    (
        "a balance is the sum of its ledger",
        "control/reaction_saving.py",
        "        change_balances(self._connection, self._tenant, paid_to)\n",
        "",
        "tests/contracts/test_control_grants.py::test_balances_are_those_of_the_ledger_whatever_wrote_it",
    ),
    (
        "a rule is put aside at the same event whatever crashes",
        "control/reaction_saving.py",
        "        self._save_overruns(state)\n",
        "",
        "tests/reactions/test_put_aside.py::test_a_crash_at_any_event_puts_the_rule_aside_at_the_same_one",
    ),
    (
        "a changed byte in the write-ahead file costs nothing",
        "log/file.py",
        "            write_ahead.mend(self._path, self._clock_ms())\n",
        "",
        "tests/log/test_write_ahead.py::test_many_changed_bytes_cost_their_entry_and_none_after_it",
    ),
    (
        "what does not fit is halved",
        "pipeline/portion.py",
        "max(_FEWEST_EVENTS, len(records) // 2), max(_FEWEST_BYTES, size // 2)",
        "self._now",
        "tests/worker/test_worker.py::test_what_does_not_fit_is_halved_until_it_does_and_grows_again_when_there_is_room",
    ),
    (
        "on a full disk the log lets go of what is stored",
        "pipeline/worker.py",
        "            self._make_room()\n",
        "            pass\n",
        "tests/worker/test_worker.py::test_on_a_full_disk_the_log_lets_go_of_what_is_stored_at_once",
    ),
    (
        "nothing is ready before a probe could be written",
        "pipeline/worker.py",
        "                self._probe()\n",
        "                pass\n",
        "tests/worker/test_worker.py::test_nothing_is_ready_before_a_probe_could_be_written",
    ),
    (
        "damaged files are told",
        "assembly/adapters.py",
        "        self.damage = integrity.problems(settings, quick=True)\n",
        "        self.damage = list[str]()\n",
        "tests/crash/test_damaged_files.py::test_a_damaged_page_of_control_is_said_at_start_by_ready_and_by_a_check",
    ),
)


def fails(file: str, old: str, new: str, test: str) -> str:
    """Run a test over a copy of the source without the mechanism; "" when it failed, as it should."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copy)
        path = copy / "headrace" / file
        text = path.read_text()
        if text.count(old) != 1:
            return f"{file} has {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
        environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(copy), str(ROOT)))}
        run = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            said, _ = run.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)  # servers that a test left which did not come to its end
        return "" if run.returncode == 1 else f"pytest ended with {run.returncode}: {said[-300:]}"


def main() -> int:
    _, file, old, _, test = REMOVALS[0]
    if not fails(file, old, old, test):
        print("A test fails in a copy from which nothing was taken: these runs would show nothing.")
        return 1
    missed = 0
    for promise, *removal in REMOVALS:
        problem = fails(*removal)
        missed += bool(problem)
        print(f"{'PASSES WITHOUT IT' if problem else 'fails without it '}  {promise}  {problem}", flush=True)
    print(f"{len(REMOVALS) - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
