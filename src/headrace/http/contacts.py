"""Hogsend's routes for contacts and groups, and the one its Studio sends events with. Each parses, asks, and renders."""

from collections.abc import Mapping
from typing import TypeAlias

from falcon.asgi import Request, Response

from headrace.assembly.capabilities.contacts import ContactDirectory
from headrace.assembly.capabilities.events import EventIntake
from headrace.assembly.clock import clock_ms
from headrace.dialects import hogsend_contacts as dialect
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.http.ingest import idempotency_key
from headrace.model.batch import Context
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.person import Contact, GroupKey, SeenGroup
from headrace.model.settings import Settings

Path: TypeAlias = Mapping[str, str]


class Contacts:
    def __init__(self, directory: ContactDirectory, intake: EventIntake, settings: Settings) -> None:
        self._directory = directory
        self._intake = intake
        self._settings = settings

    def handlers(self) -> Handlers:
        return {
            "upsert_contact": self.upsert,
            "delete_contact": self.delete,
            "find_contacts": self.find,
            "identify_group": self.identify_group,
            "list_groups": self.groups,
            "hogsend_group": self.group,
            "group_members": self.members,
            "add_group_member": self.add_member,
            "remove_group_member": self.remove_member,
            "fire_event": self.fire,
        }

    async def upsert(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        context = self._context(req, tenant)
        whom, item = dialect.parse_upsert(await self._body(req), context)
        ids = [*whom.ids, *([item.event.anonymous_id] if item.event.anonymous_id else [])]
        before = await self._directory.find(tenant, ids, whom.email)
        await self._intake.accept_about_people([item])
        after = await self._directory.find(tenant, whom.ids, whom.email)
        if not after:
            raise NotFound("Contact not found")  # its ids are placeholders
        had = {each for contact in before for each in contact.person.ids}
        linked = bool(before) and not had.issuperset(after[0].person.ids)
        resp.data = dialect.render_upsert(after[0], created=not before, linked=linked)

    async def find(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        whom = dialect.parse_find(parameters(req), self._context(req, tenant))
        found = await self._directory.find(tenant, whom.ids, whom.email)
        seen = await self._directory.seen(tenant, [each for contact in found for each in contact.person.ids])
        resp.data = dialect.render_contacts(found, seen)

    async def delete(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        context = self._context(req, tenant)
        whom = dialect.parse_whom(await self._body(req), context)
        found = await self._directory.find(tenant, whom.ids, whom.email)
        if not found:
            raise NotFound("Contact not found")
        await self._intake.accept_about_people(
            [item for contact in found for item in dialect.deletions(contact, context)]
        )
        resp.data = dialect.render_deleted()

    async def fire(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        item = dialect.parse_fired(await self._body(req), self._context(req, tenant))
        receipts = await self._intake.accept_about_people([item])
        resp.data = dialect.render_fired(stored=not receipts[0].duplicate)
        resp.status = 202

    async def identify_group(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        group, item = dialect.parse_group(await self._body(req), self._context(req, tenant))
        await self._intake.accept_about_people([item])
        resp.data = dialect.render_group(await self._group(tenant, group))

    async def groups(self, req: Request, resp: Response, tenant: Tenant, _path: Path) -> None:
        resp.data = dialect.render_groups(await self._directory.groups(tenant, *dialect.parse_page(parameters(req))))

    async def group(self, _req: Request, resp: Response, tenant: Tenant, path: Path) -> None:
        resp.data = dialect.render_group(await self._group(tenant, _group_in(path)))

    async def members(self, req: Request, resp: Response, tenant: Tenant, path: Path) -> None:
        _, limit, offset = dialect.parse_page(parameters(req))
        group = _group_in(path)
        await self._group(tenant, group)
        resp.data = dialect.render_members(await self._directory.members(tenant, group, limit, offset))

    async def add_member(self, req: Request, resp: Response, tenant: Tenant, path: Path) -> None:
        group = _group_in(path)
        contact = await self._contact(tenant, dialect.parse_member(await self._body(req)))
        had = group in contact.person.groups
        await self._intake.accept_about_people([dialect.membership(self._context(req, tenant), group, contact)])
        seen = await self._group(tenant, group)
        joined_ms = await self._directory.joined_ms(tenant, seen.key, contact)
        resp.data = dialect.render_membership(seen, contact, joined_ms, created=not had)

    async def remove_member(self, req: Request, resp: Response, tenant: Tenant, path: Path) -> None:
        group = _group_in(path)
        contact = await self._directory.numbered(tenant, dialect.contact_no(path["contact_id"]))
        had = contact is not None and group in contact.person.groups
        if contact is not None and had:
            left = dialect.membership(self._context(req, tenant), group, contact, left=True)
            await self._intake.accept_about_people([left])
        resp.data = dialect.render_removed(removed=had)

    async def _contact(self, tenant: Tenant, number: int) -> Contact:
        found = await self._directory.numbered(tenant, number)
        if found is None:
            raise NotFound("Contact not found")
        return found

    async def _group(self, tenant: Tenant, group: GroupKey) -> SeenGroup:
        found = await self._directory.group(tenant, group)
        if found is None:
            raise NotFound(f"Unknown group: {group.type[:80]}/{group.key[:200]}")
        return found

    async def _body(self, req: Request) -> bytes:
        return await read_body(req, self._settings.max_event_bytes)

    def _context(self, req: Request, tenant: Tenant) -> Context:
        return Context(tenant, clock_ms(), self._settings, idempotency_key(req))


def _group_in(path: Path) -> GroupKey:
    return dialect.group_of(path["group_type"], path["group_key"])
