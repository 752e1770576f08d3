"""Questions that analysts ask of events."""

from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.event_queries import EventQuery, QueryAnswer
from headrace.model.funnels import (
    FunnelAnswer,
    FunnelQuery,
    PathsAnswer,
    PathsQuery,
    RetentionAnswer,
    RetentionQuery,
)


class EventQueries(Protocol):
    """Always of one tenant. Any thread may ask. Raises InvalidRequest, Unavailable.

    An event is its user's, else its anonymous visitor's, and everything of one person counts as one's, as far as the adapter has
    been told who people are.
    """

    def measure_events(self, tenant: Tenant, query: EventQuery, /) -> QueryAnswer: ...

    def funnel(self, tenant: Tenant, query: FunnelQuery, /) -> FunnelAnswer: ...

    def retention(self, tenant: Tenant, query: RetentionQuery, /) -> RetentionAnswer:
        """Raises InvalidRequest for more than MAX_COHORTS."""
        ...

    def paths(self, tenant: Tenant, query: PathsQuery, /) -> PathsAnswer: ...
