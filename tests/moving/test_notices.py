"""What a folder of backups is told of erasures: who, as marks, for as long as a backup in it is older."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from headrace.control.backup_folders import MOST_FOLDERS, ControlBackupFolders
from headrace.control.database import open_database
from headrace.control.erasing import ControlErasures
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.model.erasure import mark_of
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.times import render_time_short
from headrace.upkeep.backup import MANIFEST, SNAPSHOTS, Manifest
from headrace.upkeep.notices import Notices, notices_in, remove_old_notices

SHOP = Tenant("shop", "live")
NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "control.sqlite")
    yield engine
    engine.dispose()


def snapshot(folder: Path, at_ms: int) -> None:
    taken_at = render_time_short(at_ms)
    own = folder / SNAPSHOTS / f"{taken_at.replace(':', '')}-x"
    own.mkdir(parents=True)
    (own / MANIFEST).write_bytes(msgspec.json.encode(Manifest(taken_at, "1", {}, [])))


def erase(engine: Engine, ids: list[str], at_ms: int) -> str:
    erasures = ControlErasures(engine)
    erasure, _ = erasures.request(SHOP, ids[0], at_ms)
    erasures.know(erasure.id, ids)
    erasures.know(erasure.id, [])  # as at the end
    return erasure.id


def make(engine: Engine, *folders: Path) -> Notices:
    known = ControlBackupFolders(engine)
    for folder in folders:
        known.add(str(folder), NOW_MS)
    return Notices(ControlErasureNotices(engine), known)


def test_each_folder_is_told_once_and_of_marks_alone(engine: Engine, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        snapshot(folder, NOW_MS)
    notices = make(engine, *folders)
    erasure_id = erase(engine, ["alice", "anon-é\x00"], NOW_MS + 1)
    notices.tell()
    for folder in folders:
        [told] = notices_in(folder)
        assert (told.erasure, told.tenant) == (erasure_id, SHOP)
        assert sorted(told.marks) == sorted([mark_of(SHOP, "alice"), mark_of(SHOP, "anon-é\x00")])
        [file] = (folder / "erasures").iterdir()
        assert b"alice" not in file.read_bytes()
        first = file.stat()
    notices.tell()
    assert file.stat() == first


def test_a_folder_that_cannot_be_reached_is_told_once_it_can_by_a_later_process_too(
    engine: Engine, tmp_path: Path
) -> None:
    folder, away = tmp_path / "a", tmp_path / "unmounted"
    snapshot(folder, NOW_MS)
    notices = make(engine, folder)
    folder.rename(away)
    folder.mkdir()  # as the mount point of a disk
    erasure_id = erase(engine, ["alice"], NOW_MS + 1)
    notices.tell()
    assert notices.untold == [str(folder)]
    folder.rmdir()
    notices.retry()
    assert notices.untold == [str(folder)]
    away.rename(folder)
    for each in (make(engine), notices):
        each.retry()
        assert [told.erasure for told in notices_in(folder)] == [erasure_id]
        assert each.untold == []


def test_one_folder_that_fails_keeps_no_other_from_being_told(engine: Engine, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    snapshot(folders[1], NOW_MS)
    notices = make(engine, *folders)
    erase(engine, ["alice"], NOW_MS + 1)
    notices.tell()
    assert len(notices_in(folders[1])) == 1
    assert notices.untold == [str(folders[0])]


def test_what_every_backup_knows_is_not_told_and_no_longer_kept(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    snapshot(folder, NOW_MS)
    notices = make(engine, folder)
    erase(engine, ["early"], NOW_MS - 2 * DAY_MS)
    later = erase(engine, ["alice"], NOW_MS + 1)
    notices.tell()
    assert [told.erasure for told in notices_in(folder)] == [later]
    (folder / "erasures" / ".draft.123").write_bytes(b"")
    remove_old_notices(folder)
    assert [each.name for each in (folder / "erasures").iterdir()] == [f"{later}.json"]
    (folder / SNAPSHOTS / f"{render_time_short(NOW_MS).replace(':', '')}-x").rename(tmp_path / "removed")
    snapshot(folder, NOW_MS + 3 * DAY_MS)
    remove_old_notices(folder)
    assert notices_in(folder) == []
    notices.tell()
    assert notices_in(folder) == []


def test_a_notice_that_cannot_be_read_is_neither_ignored_nor_removed(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    snapshot(folder, NOW_MS)
    notices = make(engine, folder)
    erase(engine, ["alice"], NOW_MS + 1)
    notices.tell()
    [file] = (folder / "erasures").iterdir()
    file.write_bytes(b"{")
    remove_old_notices(folder)
    with pytest.raises(InvalidRequest, match=file.name):
        notices_in(folder)


def test_the_folders_used_longest_ago_are_forgotten_first(engine: Engine) -> None:
    folders = ControlBackupFolders(engine)
    for number in range(MOST_FOLDERS):
        assert folders.add(f"/{number}", NOW_MS + number) == []
    assert folders.add("/0", NOW_MS + 1000) == []
    assert folders.add("/new", NOW_MS + 1001) == ["/1"]
    assert "/0" in folders.listed()
    folders.remove("/0")
    assert "/0" not in folders.listed()
