"""What runs send to webhooks through the outbox, and how replies come back. Sends nothing itself."""

from collections.abc import Callable, Sequence

import msgspec

from headrace.control.journey_runs import ControlJourneyWork
from headrace.model.event import Tenant, render_evt
from headrace.model.journeys import Answered, Run, RunState
from headrace.model.webhook import Call, Message, Reply
from headrace.ports.deliveries import Outbox


def tell_of_runs(outbox: Outbox, transaction: object, tenant: Tenant, state: RunState, /) -> None:
    """Enqueue the calls of runs, and the news that some have ended, in the transaction that saves the runs."""
    if state.called:
        calls = [
            Call(
                webhook=each.webhook,
                message=Message(key=_key(each.key), topic="journey.called", at_ms=each.at_ms, data=each.data.encode()),
                reply_to=f"{each.run_id}/{each.attempt}",
            )
            for each in state.called
        ]
        outbox.call(transaction, tenant, calls)
    ended = [
        state.runs[run_id]
        for run_id, was in state.before.items()
        if was is None or was.status != state.runs[run_id].status
    ]
    if messages := [_end_of(run) for run in ended if run.status != "active"]:
        outbox.publish(transaction, tenant, messages)


def _end_of(run: Run) -> Message:
    data = {
        "journey": run.journey,
        "run": run.id,
        "person": run.person,
        "event_id": render_evt(run.event_id),
        "status": run.status,
        "step": run.step or None,
        "why": run.visits[-1].why or None if run.visits else None,
    }
    # A failed run may be retried, and end again.
    key = _key(f"{run.id}.{run.status}.{run.attempt}.{len(run.visits)}")
    return Message(key=key, topic="journey.ended", at_ms=run.moment_ms, data=msgspec.json.encode(data))


def _key(key: str) -> str:
    """Uses colons: a dot would end the key in the signed text, and no run, step or status has a colon in its name."""
    return key.replace(".", ":")


class RunReplies:
    """Fits the ReplyHandler port: saves the outcomes of calls until the runs continue."""

    def __init__(self, work: ControlJourneyWork, clock_ms: Callable[[], int], on_kept: Callable[[], None]) -> None:
        self._work = work
        self._clock_ms = clock_ms
        self._on_kept = on_kept

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        """See the ReplyHandler port."""
        now_ms = self._clock_ms()
        self._work.keep(transaction, [_answered(tenant, reply, now_ms) for reply in replies])

    def kept(self) -> None:
        """See the ReplyHandler port."""
        self._on_kept()


def _answered(tenant: Tenant, reply: Reply, now_ms: int) -> Answered:
    run_id, _, attempt = reply.reply_to.partition("/")
    text = reply.json.decode() if reply.delivered else None
    return Answered(reply.key, tenant, run_id, int(attempt), now_ms, text, reply.problem)
