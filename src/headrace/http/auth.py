"""Who asks: takes the key from a request, finds its tenant, and checks its scope. Never logs a key."""

import asyncio
import base64
import hmac
from concurrent.futures import ThreadPoolExecutor

import falcon.asgi

from headrace.control.keyring import Keyring
from headrace.model.errors import Forbidden, MissingKey
from headrace.model.keys import Key, Scope

# Of their own, so that no request waits for what others have to do in threads; one is enough, for they take turns.
_LOOK_UPS = ThreadPoolExecutor(1, thread_name_prefix="keys")


async def authenticate(req: falcon.asgi.Request, keyring: Keyring, scope: Scope, in_body: str = "", /) -> Key:
    """The request's key; `in_body` is the one that its body carries, if any, and counts last.

    Raises MissingKey, InvalidKey, Forbidden; Unavailable when keys cannot be looked up.
    """
    secret = _secret_of(req, in_query=scope == "ingest") or in_body
    if not secret:
        raise MissingKey
    # The look-up reads the control database, which must not hold up the event loop.
    key = keyring.cached(secret) or await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, keyring.check, secret)
    if scope not in key.scopes:
        raise Forbidden(f"This key has the scopes {', '.join(sorted(key.scopes))}; this route needs '{scope}'.")
    origin = req.get_header("Origin") or ""
    # A page's script and image elements ask by GET and send no Origin; what they could ask for with such a key is no secret.
    if not key.allows(origin) and (origin or req.method != "GET"):
        what = f"from {origin[:255]!r}" if origin else "without the header Origin, which every browser sends"
        raise Forbidden(f"This key is for pages of {', '.join(key.origins)}; the request came {what}.")
    return key


def is_local(req: falcon.asgi.Request, token: str, /) -> bool:
    """Whether it comes from a command on this machine: it shows the token that the server left in its data folder."""
    _, _, shown = (req.get_header("Authorization") or "").partition(" ")
    return hmac.compare_digest(shown.encode(), token.encode())


def has_key(req: falcon.asgi.Request, scope: Scope, /) -> bool:
    """Whether the request carries a key outside its body."""
    return bool(_secret_of(req, in_query=scope == "ingest"))


def _secret_of(req: falcon.asgi.Request, *, in_query: bool) -> str:
    """Bearer, then X-API-Key, then the user name of HTTP Basic, then, where allowed, `?api_key=`."""
    scheme, _, credentials = (req.get_header("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    if api_key := (req.get_header("X-API-Key") or "").strip():
        return api_key
    if scheme.lower() == "basic" and (user := _basic_user(credentials)):
        return user
    if in_query and req.query_string:
        return req.get_param("api_key") or ""
    return ""


def _basic_user(credentials: str) -> str:
    """Source: https://www.rfc-editor.org/rfc/rfc7617#section-2"""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0]
    except ValueError:  # no base64, no ASCII, or no UTF-8 in it
        return ""
