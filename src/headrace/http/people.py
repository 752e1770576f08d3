"""The native routes for people and groups. Each parses, asks, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities.people import PeopleDirectory
from headrace.dialects import native, people
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.http.scoreboards import Scoreboards
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.person import GroupKey, Person


class People:
    def __init__(self, directory: PeopleDirectory, scoreboards: Scoreboards) -> None:
        self._directory = directory
        self._scoreboards = scoreboards

    def handlers(self) -> Handlers:
        return {
            "people": self.listed,
            "person": self.one,
            "person_events": self.events,
            "part_person": self.part,
            "group": self.group,
        }

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        query = people.parse_people(parameters(req))
        found, seen = await self._directory.listed(tenant, query.search, query.before, query.limit + 1)
        resp.data = people.render_people(query, found, seen)

    async def one(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        user_id = path["user_id"]
        found = await self._directory.one(tenant, user_id)
        person = found or Person(user_id, [user_id], {})
        seen = await self._directory.seen(tenant, person.ids)
        if found is None and not seen:
            raise NotFound(f"There is no user {user_id[:200]!r}.")
        names = await self._directory.names(tenant, person.ids)
        participant = await self._scoreboards.scores_of(tenant, person.ids)
        resp.data = native.render_data(people.profile_value(person, names, list(seen.values()), participant))

    async def events(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        user_id = path["user_id"]
        page = people.parse_person_events(parameters(req), user_id)
        found = await self._directory.one(tenant, user_id)
        answer = await self._directory.events(tenant, found.ids if found else [user_id], page)
        if found is None and not answer.total:
            raise NotFound(f"There is no user {user_id[:200]!r}.")
        resp.data = people.render_person_events(user_id, page, answer)

    async def part(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        both = await self._directory.part(tenant, path["user_id"], path["other"])
        seen = await self._directory.seen(tenant, [each for person in both for each in person.ids])
        rows = [people.person_value(each, [seen[id_] for id_ in each.ids if id_ in seen]) for each in both]
        resp.data = native.render_data(rows)

    async def group(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        key = GroupKey(path["type"], path["key"])
        found = await self._directory.group(tenant, key)
        if found is None:
            raise NotFound(f"There is no group {key.key[:200]!r} of the type {key.type[:80]!r}.")
        resp.data = people.render_group(found)
