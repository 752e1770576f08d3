"""What an event caused beyond its effects: the current state of journeys' runs, and deliveries. Read-only."""

from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.journey_runs import runs_by_id
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.model.effects import TracedDelivery
from headrace.model.event import Tenant
from headrace.model.journeys import ListedRun

_MOST = 100  # runs, and deliveries


class ControlTraces:
    """Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def runs(self, tenant: Tenant, run_ids: Sequence[str], /) -> list[ListedRun]:
        """The tenant's runs with some ids, in that order; at most a hundred."""
        with reading(self._engine) as connection:
            return runs_by_id(connection, tenant, run_ids[:_MOST])

    def deliveries(self, tenant: Tenant, about: Sequence[str], /) -> list[TracedDelivery]:
        """The tenant's deliveries whose keys begin with one of some event or run ids; at most a hundred."""
        found: list[TracedDelivery] = []
        own = (webhooks.c.project == tenant.project, webhooks.c.mode == tenant.mode)
        columns = (deliveries.c.key, deliveries.c.topic, deliveries.c.status, deliveries.c.tries, deliveries.c.problem)
        with reading(self._engine) as connection:
            receivers = connection.execute(
                sa.select(webhooks.c.no, webhooks.c.id).where(*own, webhooks.c.status != "deleted")
            )
            for number, name in receivers.all():
                for each in about:
                    key = deliveries.c.key
                    # A dot follows the id, and a slash sorts after the dot.
                    within = (deliveries.c.webhook_no == number, key >= f"{each}.", key < f"{each}/")
                    asked = sa.select(*columns).where(*within).order_by(key).limit(_MOST)
                    found += [TracedDelivery(name, *row) for row in connection.execute(asked)]
                    if len(found) >= _MOST:
                        return found[:_MOST]
        return found
