"""Manual changes by admins: grant and deduct points, each once by its key, and revoke badges. Knows no rule."""

import secrets

import msgspec
import sqlalchemy as sa

from headrace.control.balances import change_balances
from headrace.control.database import reading, transact
from headrace.control.locks import lock_tenant
from headrace.control.participants import enrol, places_of, whole_of
from headrace.control.tables.ledger import balances, grants, points
from headrace.control.tables.reactions import reaction_progress
from headrace.control.tables.scores import awards, participants
from headrace.model.audit import add_detail
from headrace.model.errors import Conflict, NotFound
from headrace.model.event import MAX_TAIL, Tenant, event_id, first_position
from headrace.model.ledger import Grant, Granted, Revocation, hidden_key
from headrace.model.webhook import message_of_entry
from headrace.ports.deliveries import Outbox

MAX_BALANCE = 2**53 - 1  # the integers that JavaScript clients read exactly


class ControlGrants:
    """Fits the Grants port. Any thread may call it."""

    def __init__(self, engine: sa.Engine, outbox: Outbox | None = None) -> None:
        """outbox: gets the grants that webhooks want."""
        self._engine = engine
        self._outbox = outbox

    def grant(self, tenant: Tenant, grant: Grant, key: str, now_ms: int, /) -> Granted:
        """See the Grants port."""
        request = msgspec.json.encode(grant).decode()

        def make(connection: sa.Connection) -> Granted:
            lock_tenant(connection, tenant)  # else two deductions at once would both find enough
            own = {"project": tenant.project, "mode": tenant.mode, "key": key}
            its = (grants.c.project == tenant.project, grants.c.mode == tenant.mode)
            made = connection.execute(sa.select(grants).where(*its, grants.c.key.in_([key, hidden_key(key)]))).first()
            if made is not None:
                if made.request != request:
                    raise Conflict("This key was used for another grant: send a new key with each grant.")
                add_detail("nothing: the key was used before", person=grant.participant)
                return Granted(grant, made.entry_id, made.balance, repeated=True)
            places = places_of(connection, tenant, [grant.participant])
            whole = places.participants.get(grant.participant, grant.participant)
            numbers = enrol(connection, tenant, [grant.participant], places.participants)
            number, whole_no = numbers[grant.participant], numbers.get(whole) or numbers[grant.participant]
            balance = connection.scalar(sa.select(balances.c.balance).where(balances.c.participant_no == whole_no)) or 0
            after = balance + grant.points
            if grant.points < 0 and after < 0 and not grant.allow_negative:
                raise Conflict(
                    f"The participant has {balance} points, so {-grant.points} cannot be deducted: "
                    "deduct fewer, or send 'allow_negative': true."
                )
            if abs(after) > MAX_BALANCE:
                raise Conflict(f"The balance would be {after}; it must stay between -{MAX_BALANCE} and {MAX_BALANCE}.")
            entry_id = event_id(first_position(now_ms), secrets.randbelow(MAX_TAIL))
            entry = {"event_id": entry_id, "rule_no": 0, "ordinal": 0, "participant_no": number}
            entry |= {"points": grant.points, "at_ms": now_ms, "kind": "granted", "reason": grant.reason}
            connection.execute(sa.insert(points).values(entry))
            change_balances(connection, tenant, {whole_no: grant.points})
            connection.execute(
                sa.insert(grants).values(own | {"entry_id": entry_id, "request": request, "balance": after})
            )
            if self._outbox is not None:
                what = (whole, grant.points, "granted", grant.reason)
                self._outbox.publish(connection, tenant, [message_of_entry(entry_id, 0, now_ms, *what)])
            add_detail(f"granted {grant.points} points", person=grant.participant)
            return Granted(grant, entry_id, after, repeated=False)

        return transact(self._engine, make)

    def revoke(self, tenant: Tenant, badge: str, participant: str, reason: str, now_ms: int, /) -> Revocation:
        """See the Grants port."""

        def take_back(connection: sa.Connection) -> Revocation:
            # A reactor that is judging events as if the badge were held finds the state changed, and judges again.
            own = reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode
            more = {"version": reaction_progress.c.version + 1}
            connection.execute(sa.update(reaction_progress).where(*own).values(more))
            _, numbers = whole_of(connection, tenant, participant)
            theirs = awards.c.participant_no.in_(numbers), awards.c.badge == badge
            row = connection.execute(sa.select(awards).where(*theirs, awards.c.stands)).first()
            if row is None:
                raise NotFound(f"The participant {participant[:200]!r} does not hold the badge {badge[:80]!r}.")
            add_detail("revoked the badge", person=participant)
            if row.revoked_at_ms is not None:
                return Revocation(participant, badge, row.event_id, row.revoked_why, row.revoked_at_ms, repeated=True)
            connection.execute(sa.update(awards).where(*theirs).values(revoked_at_ms=now_ms, revoked_why=reason))
            return Revocation(participant, badge, row.event_id, reason, now_ms)

        return transact(self._engine, take_back)

    def revocations(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Revocation]:
        """See the Grants port."""
        own = participants.alias()
        asked = (
            sa.select(participants.c.name, awards)
            .join(own, own.c.no == awards.c.participant_no)
            .join(participants, participants.c.no == sa.func.coalesce(own.c.whole_no, own.c.no))
            .where(*_of(tenant), awards.c.badge == badge, awards.c.stands, awards.c.revoked_at_ms.is_not(None))
            .order_by(awards.c.revoked_at_ms.desc(), participants.c.name)
            .limit(limit)
            .offset(offset)
        )
        with reading(self._engine) as connection:
            return [
                Revocation(row.name, row.badge, row.event_id, row.revoked_why, row.revoked_at_ms)
                for row in connection.execute(asked)
            ]


def _of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return participants.c.project == tenant.project, participants.c.mode == tenant.mode
