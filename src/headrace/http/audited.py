"""Records in the audit what admins change: the one place for every route. Which routes these are, their tables say; and
whatever commands on this machine post.

A route that changes something only within a transaction of control is recorded by that transaction (model/audit.py). Any other is
recorded before it is tried. What is refused is recorded too; a request without a key that opens the route is not.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import falcon.asgi

from headrace.assembly.admission import Admission, Admitted
from headrace.assembly.capabilities.audit import AuditTrail
from headrace.dialects.errors import kind_of
from headrace.dialects.route import Route
from headrace.http.addresses import Addresses
from headrace.http.auth import shown_by
from headrace.http.scope import ADMITTED
from headrace.model.audit import MAX_DETAIL_CHARS, Actor, Deed, doing, person_mark
from headrace.model.errors import HeadraceError
from headrace.model.event import Tenant
from headrace.model.keys import MAX_NAME_CHARS, Key, masked

COMMANDS = "/internal/"
"""What the paths of commands on this machine begin with."""
Responder: TypeAlias = Callable[[falcon.asgi.Request, falcon.asgi.Response], Awaitable[None]]
_PARAMETER = re.compile(r"{(\w+)(?::(\w+))?}")
_MAX_TARGET_CHARS = 500


class Auditor:
    """Records what requests do."""

    def __init__(self, trail: AuditTrail, admission: Admission, addresses: Addresses, admin_key: str) -> None:
        """admin_key: that of the settings, which looks like anything."""
        self._trail = trail
        self._admission = admission
        self._admin_key = admin_key
        self._addresses = addresses

    @asynccontextmanager
    async def recording(
        self, req: falcon.asgi.Request, admitted: Admitted, route: Route, action: str, path: Mapping[str, str], /
    ) -> AsyncGenerator[None]:
        """Record what is done within. in_control is the route's. Raises Unavailable, before anything is tried."""
        req.scope[ADMITTED] = admitted
        project = admitted.tenant.project
        deed = Deed(
            actor=self._actor(req, admitted),
            action=action,
            at_ms=self._trail.now_ms(),
            project=project,
            mode=admitted.tenant.mode,
            target=self._without_admin_key(target_of(route.path, path, project)),
        )
        async with self.doing(deed, in_control=getattr(route.does, "in_control", False)):
            yield

    @asynccontextmanager
    async def doing(self, deed: Deed, /, *, in_control: bool) -> AsyncGenerator[None]:
        """Record a deed that is done within. Raises Unavailable, before anything is tried."""
        if not in_control:
            await self._trail.begin(deed)
        try:
            with doing(deed):
                yield
        except HeadraceError as error:
            kind = kind_of(error)
            if deed.number is None or not in_control:
                deed.detail = kind
            await self._trail.end(deed, "failed" if kind == "unavailable" else "refused")
            raise
        except Exception:
            await self._trail.end(deed, "failed")
            raise
        if deed.number is not None and not in_control:
            await self._trail.end(deed, "done")

    async def note(self, req: falcon.asgi.Request, admitted: Admitted, action: str, target: str, /) -> None:
        """Record what has been done already. Raises Unavailable."""
        tenant = admitted.tenant
        mode = tenant.mode if tenant.project else ""
        deed = Deed(actor=self._actor(req, admitted), action=action, at_ms=self._trail.now_ms(), project=tenant.project)
        deed.mode, deed.target = mode, target[:_MAX_TARGET_CHARS]
        async with self.doing(deed, in_control=False):
            pass

    def audit_command(self, path: str, resource: object, /) -> None:
        """Have what commands on this machine post to a resource recorded, unless it `audits_itself`."""
        post: Responder | None = getattr(resource, "on_post", None)
        if post is None or getattr(resource, "audits_itself", False):
            return
        action = path.removeprefix(COMMANDS)

        async def on_post(req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
            if not self._admission.is_local(shown_by(req, "admin")):
                await post(req, resp)  # which refuses it
                return
            async with self.doing(self.command(req, action, ""), in_control=False):
                await post(req, resp)

        vars(resource)["on_post"] = on_post

    def command(self, req: falcon.asgi.Request, action: str, detail: str, /) -> Deed:
        """What a command on this machine does that concerns no one project."""
        user = req.get_header("Headrace-User") or ""
        actor = self._actor(req, Admitted(Tenant("", "live"), user=user))
        return Deed(actor=actor, action=action, at_ms=self._trail.now_ms(), detail=detail[:MAX_DETAIL_CHARS])

    def _without_admin_key(self, text: str) -> str:
        return text.replace(self._admin_key, "…") if self._admin_key else text

    def _actor(self, req: falcon.asgi.Request, admitted: Admitted) -> Actor:
        address, key = self._addresses.client_of(req), admitted.key
        if key is None:
            user = "".join(each for each in admitted.user if each.isprintable())
            return Actor(kind="command", name=user[:MAX_NAME_CHARS], address=address)
        return Actor(kind="key", key_id=key.id, prefix=key.prefix, name=key.name, address=address)


def maker_of(req: falcon.asgi.Request, /) -> Key | None:
    """The key that a request to an audited route showed; None for a command on this machine."""
    admitted: Admitted = req.scope[ADMITTED]
    return admitted.key


def target_of(template: str, path: Mapping[str, str], project: str, /) -> str:
    """The path as the audit shows it.

    A parameter with a converter is an id that clients choose for a person or group: its mark stands for it, so that an erased
    person is in no entry. Whatever looks like a key is masked.
    """

    def show(found: re.Match[str]) -> str:
        name, converter = found.groups()
        return f"~{person_mark(project, path[name])}" if converter else path[name]

    shown = masked(_PARAMETER.sub(show, template))
    return "".join(each if each.isprintable() else "�" for each in shown[:_MAX_TARGET_CHARS])
