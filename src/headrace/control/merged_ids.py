"""Which ids go by another id of their person, for those who count people. Changes nothing; always of one tenant."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.people_states import of_tenant
from headrace.control.tables.people import person_ids
from headrace.model.event import Tenant

_AT_ONCE = 10_000


class ControlMergedIds:
    """Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def pages(self, tenant: Tenant, /) -> Iterator[Sequence[tuple[str, str]]]:
        """Each id that is not what its person goes by, with what is, by id, all as of one moment; some thousands at a time.

        Raises ControlFailed.
        """
        own = person_ids.alias()
        asked = (
            sa.select(person_ids.c.id, own.c.id)
            .join(own, own.c.no == person_ids.c.person_no)
            .where(*of_tenant(tenant), person_ids.c.person_no != person_ids.c.no)
            .order_by(person_ids.c.id)
            .execution_options(yield_per=_AT_ONCE)
        )
        with reading(self._engine) as connection:
            for page in connection.execute(asked).partitions():
                yield [(id_, person) for id_, person in page]
