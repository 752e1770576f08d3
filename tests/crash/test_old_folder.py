"""A data folder from before positions had partitions (commit 625fd91): it is opened, checked and used on."""

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from headrace.model.event import Event, encode, event_id, first_position, position_of, render_evt
from headrace.model.repeats import dedup_key
from tests.crash.test_check import run as check
from tests.crash.test_disk import send_keyed, stored
from tests.log.test_old_files import write_old_file
from tests.server import Server

_EVENTS = 75


def write_old_control(path: Path, committed: int) -> None:
    """A control database as the fourth migration left it."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "headrace.control:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(sa.text("INSERT INTO offsets VALUES ('worker', :position)"), {"position": committed})
    engine.dispose()


def test_a_folder_from_before_partitions_is_opened_checked_and_used_on(tmp_path: Path) -> None:
    users = [f"keyed-{number}" for number in range(_EVENTS)]
    events = [
        Event("default", "live", "flux", "disk", 1_736_899_200_000, user_id=user, message_id=user) for user in users
    ]
    first = first_position(time.time_ns() // 1_000_000 - 1000)
    chunks = [[encode(event) for event in some] for some in (events[:1], events[1:70], events[70:])]
    positions = write_old_file(tmp_path / "log.sqlite", chunks, first=first, keys=list(map(dedup_key, events)))
    write_old_control(tmp_path / "control.sqlite", committed=positions[9])
    old = {render_evt(event_id(position, 7 + number)): users[number] for number, position in enumerate(positions)}

    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        assert stored(client) == old, "what was committed and is not in the store comes back; the rest is new to it"
        assert send_keyed(client, range(_EVENTS)) == old, "and each is known"
        new = send_keyed(client, range(_EVENTS, _EVENTS + 5))
        assert stored(client) == old | new
    given = [position_of(each.removeprefix("evt_")) for each in (*old, *new)]
    assert given == sorted(set(given))
    assert [line["lost"] for line in server.logs if line.get("event") == "store_lost_events"] == [10]
    code, report = check(tmp_path)
    assert (code, report.problems, report.held, report.stored) == (0, [], _EVENTS + 5, _EVENTS + 5)
    server.kill()
    server.start()
    with server.client(key) as client:
        assert stored(client) == old | new
    assert server.stop() == 0
