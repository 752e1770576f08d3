"""What those who talk to a server may do with the API keys of their project and mode. Raises the errors of `model.errors`."""

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.assembly.key_uses import KEPT_MS, TOGETHER_MS, KeyUses, together
from headrace.model.event import Tenant
from headrace.model.keys import STYLES, Key, KeyUse, NewKey, check_may_make
from headrace.ports.keys import KeyStore, TenantKeys

_HOUR_MS = 3_600_000


class KeyAdmin:
    """API keys. `maker`: the key that a request showed, which can give no more than it has; None for a command on this machine.

    Raises NotFound, InvalidRequest, Conflict, Forbidden, Unavailable.
    """

    def __init__(self, keys: KeyStore, own: TenantKeys, uses: KeyUses) -> None:
        self._keys = keys
        self._own = own
        self._uses = uses

    async def listed(self, tenant: Tenant, after: tuple[int, str], limit: int, /) -> list[Key]:
        """See the TenantKeys port."""
        return await ask_control(lambda: self._own.page(tenant, after, limit))

    async def get(self, tenant: Tenant, key_id: str, /) -> Key:
        """See the TenantKeys port."""
        return await ask_control(lambda: self._own.get(tenant, key_id))

    async def uses(self, tenant: Tenant, key_id: str, /) -> tuple[Key, list[KeyUse], list[KeyUse]]:
        """A key, and what it was used for in the last day and in the last hour: the most requests first."""
        key = await self.get(tenant, key_id)
        now_ms = clock_ms()
        begun_ms = now_ms - now_ms % TOGETHER_MS

        def all_uses() -> list[KeyUse]:
            with self._uses.writing:
                return [*self._own.uses(key.id, begun_ms - KEPT_MS), *self._uses.pending(key.id)]

        found = await ask_control(all_uses)
        latest = [each for each in found if each.from_ms > begun_ms - _HOUR_MS]
        return key, together(found), together(latest)

    async def create(self, tenant: Tenant, maker: Key | None, new: NewKey, /) -> tuple[Key, str]:
        """A new key and its secret, which nobody can be told again."""
        expires_at_ms = new.expires_at_ms
        if maker is not None:
            expires_at_ms = expires_at_ms or maker.expires_at_ms
            check_may_make(maker, STYLES[new.style][2] if new.scopes is None else new.scopes, expires_at_ms)
        return await ask_control(
            lambda: self._keys.create(
                *(tenant.project, tenant.mode, new.style, new.scopes, clock_ms(), expires_at_ms),
                origins=new.origins,
                name=new.name,
            )
        )

    async def rotate(
        self, tenant: Tenant, maker: Key | None, key_id: str, overlap_ms: int, expires_at_ms: int | None, /
    ) -> tuple[Key, str, Key]:
        """See the KeyStore port."""
        former = await self.get(tenant, key_id)
        now_ms = clock_ms()
        if maker is not None:
            if expires_at_ms is None:
                whole_life = former.expires_at_ms and now_ms + former.expires_at_ms - former.created_at_ms
                expires_at_ms = min((each for each in (whole_life, maker.expires_at_ms) if each), default=None)
            check_may_make(maker, former.scopes, expires_at_ms)
        return await ask_control(lambda: self._keys.rotate(former.id, now_ms, overlap_ms, expires_at_ms))

    async def revoke(self, tenant: Tenant, key_id: str, /) -> Key:
        """Revoke a key for good; one that is revoked stays as it is."""
        own = await self.get(tenant, key_id)
        return await ask_control(lambda: self._keys.revoke(own.id, clock_ms()))
