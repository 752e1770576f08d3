"""What a handler of a `Handled` route looks like. Each class of handlers lists its own by the names in the dialects' tables."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import falcon.asgi

from headrace.model.event import Tenant

Params: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[falcon.asgi.Request, falcon.asgi.Response, Tenant, Params], Awaitable[None]]
"""Answers an admitted request. Gets the parameters in the path."""
Handlers: TypeAlias = Mapping[str, Handler]
