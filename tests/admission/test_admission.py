"""Who is let in, by what a request shows; without any web framework."""

import asyncio
from base64 import b64encode

import msgspec
import pytest

from headrace.assembly.admission import Admission, Admitted, Shown
from headrace.assembly.rate_limits import RateLimits
from headrace.model.errors import Forbidden, HeadraceError, InvalidKey, InvalidRequest, MissingKey, RateLimited
from headrace.model.event import Tenant
from headrace.model.keys import SCOPES, Key, Scope

SHOP = Tenant("shop", "test")
LOCAL = "left in the data folder"
RIGHT = b64encode(b"right:pw").decode()  # with = at its end


class Secrets:
    """A keyring of a few keys, some of which it has to look up."""

    def __init__(self, *keys: Key) -> None:
        self._keys = {key.id: key for key in keys}
        self.looked_up: list[str] = []

    def cached(self, secret: str, /) -> Key | None:
        return self._keys.get(secret) if secret in self.looked_up else None

    def check(self, secret: str, /) -> Key:
        self.looked_up.append(secret)
        if secret not in self._keys:
            raise InvalidKey
        return self._keys[secret]


def key(name: str = "right", *, scopes: frozenset[Scope] = frozenset(SCOPES), origins: tuple[str, ...] = ()) -> Key:
    return Key(id=name, tenant=SHOP, style="flux", scopes=scopes, prefix="", created_at_ms=0, origins=origins)


def admit(shown: Shown, scope: Scope = "ingest", secrets: Secrets | None = None, limit: str = "none") -> Admitted:
    admission = Admission(secrets or Secrets(key()), RateLimits({"once": 1}), LOCAL)
    return asyncio.run(admission.admit(shown, scope, limit))


def basic(user: str) -> str:
    return f"Basic {b64encode(f'{user}:x'.encode()).decode()}"


@pytest.mark.parametrize(
    "shown",
    [
        Shown(authorization="Bearer right"),
        Shown(authorization="bEARER  right "),
        Shown(authorization=basic("right")),
        Shown(api_key=" right "),
        Shown(in_query="right"),
        Shown(in_body="right"),
        # the first of these counts, whatever comes after it
        Shown(authorization="Bearer right", api_key="wrong", in_query="wrong", in_body="wrong"),
        Shown(authorization=basic("wrong"), api_key="right", in_query="wrong", in_body="wrong"),
        Shown(authorization=basic("right"), in_query="wrong", in_body="wrong"),
        Shown(in_query="right", in_body="wrong"),
        Shown(authorization="Digest right", in_body="right"),
    ],
)
def test_a_key_is_taken_from_bearer_api_key_basic_query_and_body_in_this_order(shown: Shown) -> None:
    assert admit(shown) == Admitted(SHOP, key=key())


@pytest.mark.parametrize(
    "shown", [Shown(), Shown(authorization="Bearer"), Shown(authorization="right"), Shown(api_key=" ")]
)
def test_what_shows_no_key_is_refused(shown: Shown) -> None:
    with pytest.raises(MissingKey):
        admit(shown)


@pytest.mark.parametrize(
    "credentials",
    [
        *(f"{RIGHT[:4]}!{RIGHT[4:]}", f"{RIGHT[:4]} {RIGHT[4:]}", RIGHT.rstrip("=")),
        *("right", "", b64encode(b"\xff\xfe:x").decode()),
    ],
)
def test_basic_credentials_that_are_not_base64_or_not_utf_8_show_no_key(credentials: str) -> None:
    with pytest.raises(MissingKey):
        admit(Shown(authorization=f"Basic {credentials}"))


def test_the_user_of_basic_credentials_may_lack_a_password_and_ends_at_the_first_colon() -> None:
    for text in ("right", "right:", "right:a:b"):
        assert admit(Shown(authorization=f"Basic {b64encode(text.encode()).decode()}")) == Admitted(SHOP, key=key())


@pytest.mark.parametrize("scope", ["query", "admin"])
def test_a_key_in_the_query_opens_only_what_takes_events(scope: Scope) -> None:
    with pytest.raises(MissingKey):
        admit(Shown(in_query="right"), scope)


def test_a_key_is_looked_up_once_and_then_known() -> None:
    secrets = Secrets(key())
    for _ in range(3):
        admit(Shown(api_key="right"), secrets=secrets)
    assert secrets.looked_up == ["right"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_without_the_scope_is_forbidden(scope: Scope) -> None:
    others = frozenset(SCOPES) - {scope}
    with pytest.raises(Forbidden, match=f"requires '{scope}'"):
        admit(Shown(api_key="right"), scope, Secrets(key(scopes=others)))


def test_a_request_over_the_limit_is_refused_with_what_is_left_and_others_are_told_what_is_left() -> None:
    admission = Admission(Secrets(key()), RateLimits({"once": 1}), LOCAL)
    shown = Shown(api_key="right")

    async def scenario() -> None:
        admitted = await admission.admit(shown, "ingest", "once")
        assert admitted.allowance is not None
        assert admitted.allowance.remaining == 0
        with pytest.raises(RateLimited) as refused:
            await admission.admit(shown, "ingest", "once")
        assert refused.value.allowance is not None
        assert (await admission.admit(shown, "ingest", "another kind")).allowance is None

    asyncio.run(scenario())


def test_what_is_refused_for_another_reason_does_not_count() -> None:
    admission = Admission(Secrets(key(scopes=frozenset({"ingest"}))), RateLimits({"once": 1}), LOCAL)

    async def scenario() -> None:
        for shown, scope in (
            (Shown(), "ingest"),
            (Shown(api_key="wrong"), "ingest"),
            (Shown(api_key="right"), "query"),
        ):
            with pytest.raises(HeadraceError):
                await admission.admit(shown, scope, "once")
        await admission.admit(Shown(api_key="right"), "ingest", "once")

    asyncio.run(scenario())


def test_a_command_on_this_machine_acts_for_whom_it_names_and_sends_no_events() -> None:
    shown = Shown(authorization=f"Bearer {LOCAL}", project="p", mode="test")
    assert admit(shown, "admin") == Admitted(Tenant("p", "test"))
    assert admit(Shown(authorization=f"Bearer {LOCAL}"), "admin") == Admitted(Tenant("default", "live"))
    with pytest.raises(InvalidRequest, match="live or test"):
        admit(msgspec.structs.replace(shown, mode="prod"), "admin")
    for name in ("Shop", "p/metrics", "a b", "☃", "x" * 101):
        with pytest.raises(InvalidRequest, match="A project's name"):
            admit(msgspec.structs.replace(shown, project=name), "admin")
    assert admit(shown, "query") == Admitted(Tenant("p", "test"))
    with pytest.raises(InvalidKey):
        admit(shown, "ingest")


def test_a_cookie_cannot_be_shown() -> None:
    """The fields are all that admission knows: to let a cookie count, one would have to be added here."""
    assert Shown.__struct_fields__ == (
        *("method", "authorization", "api_key", "in_query", "in_body", "origin", "project", "mode", "user"),
    )


# Origins

PAGES = ("https://app.example", "https://*.b.example", "http://*.c.example:8080")


@pytest.mark.parametrize(
    "origin",
    [
        *("https://app.example", "HTTPS://App.Example", "https://x.b.example", "https://X.y.b.example"),
        *("https://x.b.example:443", "http://x.c.example:8080"),
    ],
)
def test_a_publishable_key_works_on_its_own_pages(origin: str) -> None:
    assert admit(Shown(api_key="right", origin=origin), secrets=Secrets(key(origins=PAGES))).tenant == SHOP


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evilb.example", "https://b.example", "https://.b.example", "https://*.b.example", "null", ""),
        *("http://app.example", "http://x.b.example", "https://app.example:444", "https://x.b.example:444"),
        *("http://x.c.example", "http://x.c.example:80", "http://x.c.example:80808080"),
        # a host is a host, wherever else the right letters stand
        *("https://evil.example/.b.example", "https://evil.example#.b.example", "https://evil.example?.b.example"),
        *("https://evil.example\\.b.example", "https://user@x.b.example", "https://evil.example:443@x.b.example"),
        *("https://x.b.example.", "https://x.b.example.evil.example", "https://evil.example .b.example"),
        *("https://evil.example\n.b.example", "https://x..b.example", "https://app.example/", "//x.b.example"),
    ],
)
def test_a_publishable_key_is_refused_on_any_other_page(origin: str) -> None:
    with pytest.raises(Forbidden, match=r"https://app\.example"):
        admit(Shown(api_key="right", origin=origin), secrets=Secrets(key(origins=PAGES)))


@pytest.mark.parametrize(
    ("origin", "said"), [("https://evil.example", "from 'https://evil.example'."), ("", "without the header Origin")]
)
def test_a_refusal_says_which_page_the_request_came_from(origin: str, said: str) -> None:
    with pytest.raises(Forbidden) as raised:
        admit(Shown(api_key="right", origin=origin), secrets=Secrets(key(origins=PAGES)))
    assert said in raised.value.message


def test_a_script_element_asks_by_get_and_names_no_origin() -> None:
    assert admit(Shown(method="GET", api_key="right"), secrets=Secrets(key(origins=PAGES))).tenant == SHOP
