"""A dialect that nobody speaks, written as CONTRIBUTING says: a line of text is an event. Translates; never stores."""

import re

from headrace.dialects.errors import kind_of
from headrace.dialects.route import Answer, Ask, Asked, Dialect, Ingest, Limit, Route, Tell, Told
from headrace.model.batch import Batch, Context, Item, Rejection
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, InvalidRequest, MissingKey
from headrace.model.event import Event
from headrace.model.filters import Filters, Page

NAME = "toy"
_LINE = re.compile(r"(\w+) did (\w+)")


def render_error(error: HeadraceError, status: int, /) -> bytes:
    return f"{status} {kind_of(error)}: {error.message}".encode()


def find_key(body: bytes, /) -> str:
    found = re.match(rb"I am (\S+)\n", body)
    if not found:
        raise MissingKey("Begin with 'I am <key>'.")
    return found[1].decode()


def parse(body: bytes, context: Context, /) -> Batch:
    batch = Batch([], [])
    lines = [line for line in body.decode(errors="replace").splitlines() if not line.startswith("I am ")]
    for index, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        if found:
            tenant = context.tenant
            event = Event(tenant.project, tenant.mode, NAME, found[2], context.now_ms, user_id=found[1])
            batch.items.append(Item(index, event))
        else:
            batch.rejections.append(Rejection(index, InvalidRequest("Say who did what.")))
    return batch


def render(batch: Batch, receipts: list[Receipt], /) -> bytes:
    return f"{len(receipts)} taken, {len(batch.rejections)} not".encode()


def _said(asked: Asked) -> Answer:
    page = Page(limit=10)
    filters = Filters(name=asked.path["what"])
    return lambda reader: f"{reader.events(asked.tenant, filters, page).total} times".encode()


def _hello(told: Told) -> bytes:
    return f"hello, {told.path['name']}".encode()


DIALECT = Dialect(
    NAME,
    render_error,
    (
        Route("POST", "/toy", "ingest", "toy", Ingest(parse, render, find_key=find_key), 202),
        Route("GET", "/toy/said/{what}", "query", "toy", Ask(_said)),
        Route("GET", "/toy/hello/{name}", "ingest", "toy", Tell(_hello, media_type="text/plain")),
    ),
    limits=(Limit("toy", "the toy"),),
    error_type="text/plain",
)
