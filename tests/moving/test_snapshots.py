"""Snapshots of a folder, with parts and databases of a few bytes: what they hold, in which order it is taken, and what restores."""

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from headrace.assembly.folder import DataFolder
from headrace.model.entries import ErasedEvent, Keyed
from headrace.model.errors import InvalidRequest, SettingsError, Unavailable
from headrace.model.event import Event, event_id, position_of, tail_of
from headrace.ports.store import StoreFailed
from headrace.upkeep.backup import DATABASES, Copies, Done, back_up, manifest_of, snapshots_in
from headrace.upkeep.restore import restore
from headrace.upkeep.row_ranges import KeptRange
from tests.fakes import MemoryErasedEvents

NOW_MS = 1_736_899_200_000
FIRST, SECOND = NOW_MS << 20, (NOW_MS + 1) << 20


class Parts:
    """The store of a folder: parts are folders with a file of checksums, and events are ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: set[str] = set()
        self.attached: list[str] = []
        self.during_freeze: Callable[[], None] = lambda: None

    def add(self, name: str, content: str) -> None:
        (self.folder / "parts" / name).mkdir(parents=True)
        (self.folder / "parts" / name / "data.bin").write_text(content)
        (self.folder / "parts" / name / "checksums.txt").write_text(f"sum of {content}")

    def freeze(self, name: str, /) -> list[Path]:
        self.during_freeze()
        self.frozen(name).mkdir(parents=True)
        return sorted((self.folder / "parts").iterdir())

    def frozen(self, name: str, /) -> Path:
        return self.folder / "frozen" / name

    def arriving_parts(self) -> Path:
        return self.folder / "arriving"

    def attach(self, name: str, /) -> None:
        assert (self.folder / "arriving" / name / "data.bin").is_file()
        self.attached.append(name)

    def stored(self, ids: Sequence[str], /) -> set[str]:
        return self.ids.intersection(ids)

    def erase(self, ids: Sequence[str], /) -> None:
        self.ids -= set(ids)

    def keyed_at(self, positions: Sequence[int], /) -> list[Keyed]:
        event = Event("p", "live", "flux", "n", NOW_MS, message_id="m")
        return [Keyed(position_of(each), tail_of(each), event) for each in self.ids if position_of(each) in positions]


class Shop:
    """A data folder with two databases and a store, and a folder for its backups."""

    def __init__(self, folder: Path) -> None:
        self.data, self.backups, self.new = folder / "data", folder / "backups", folder / "new"
        self.data.mkdir()
        self.store = Parts(folder)
        self.restored: Parts | None = None
        self.erased_there = MemoryErasedEvents()
        for name in DATABASES:
            self.note(name, "first")

    def note(self, database: str, text: str) -> None:
        with closing(sqlite3.connect(self.data / database)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
            connection.execute("INSERT INTO notes VALUES (?)", (text,))

    def back_up(self, number: int = 0, keep: int | None = None) -> Done:
        return back_up(self.data, self.store, self.backups, NOW_MS + number * 1000, keep=keep)

    @contextmanager
    def opened(self, folder: Path) -> Iterator[tuple[Parts, MemoryErasedEvents]]:
        assert folder != self.new, "nothing has the folder's name before it is whole"
        assert not self.new.exists() or {each.name for each in self.new.iterdir()} <= {".restoring", "lost+found"}
        self.restored = Parts(folder)
        self.restored.ids = {event_id(FIRST, 7), event_id(SECOND, 7)}
        yield self.restored, self.erased_there  # type: ignore[misc]  as much of a store as a restore needs


def notes_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes")]


def size_of(*paths: Path) -> int:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.store.add("a_1_1_0", "content of a")
    return shop


def test_control_is_copied_before_the_store_and_the_log_after_it(shop: Shop) -> None:
    def note() -> None:
        for name in DATABASES:
            shop.note(name, "meanwhile")

    shop.store.during_freeze = note
    snapshot = shop.backups / "snapshots" / shop.back_up().snapshot
    assert notes_in(snapshot / "control.sqlite") == ["first"]
    assert notes_in(snapshot / "log.sqlite") == ["first", "meanwhile"]


def test_rows_are_copied_before_control_and_what_is_new_or_gone_after_it(shop: Shop) -> None:
    seen: list[tuple[str, ...]] = []

    def rows(parts: Path) -> tuple[list[KeptRange], int]:
        databases = tuple(sorted(each.name for each in shop.backups.glob("snapshots/.*/*.sqlite")))
        seen.append(databases)
        return [KeptRange(f"rows-0-{len(seen)}-1-{'0' * 16}-{'0' * 16}", 5)], 5

    copies = Copies(rows=rows, hold=lambda: seen.append(("held",)))
    done = back_up(shop.data, shop.store, shop.backups, NOW_MS, copies=copies)
    assert seen == [(), ("held",), ("control.sqlite",)]
    manifest = manifest_of(shop.backups, done.snapshot)
    assert [each.range().upto for each in manifest.ranges] == [3]
    assert (manifest.format, manifest.parts, done.bytes - sum(manifest.sizes.values())) == (2, [], 5)


def test_a_part_is_copied_once_for_all_snapshots_and_one_of_its_name_with_other_bytes_is_another(shop: Shop) -> None:
    first = shop.back_up()
    kept = shop.backups / "parts"
    databases = [shop.backups / "snapshots" / first.snapshot / name for name in DATABASES]
    assert (first.copied, first.bytes) == (size_of(*databases, kept), size_of(*databases, kept))
    shop.store.add("b_2_2_0", "content of b, and longer")
    second = shop.back_up(1)
    assert second.copied == size_of(*databases, shop.store.folder / "parts" / "b_2_2_0")
    assert second.bytes == size_of(*databases, kept)
    (shop.store.folder / "parts" / "a_1_1_0" / "checksums.txt").write_text("another server's")
    shop.back_up(2)
    names = [each.name.partition("-")[0] for each in sorted(kept.iterdir())]
    assert names == ["a_1_1_0", "a_1_1_0", "b_2_2_0"]
    assert not [*(shop.store.folder / "frozen").iterdir()], "the engine's own copies are removed"


def test_the_oldest_snapshots_are_removed_with_what_only_they_had_and_what_crashes_have_left(shop: Shop) -> None:
    done = [shop.back_up()]
    shop.store.add("b_2_2_0", "of b")
    done += [shop.back_up(1), shop.back_up(2)]
    for left in ("snapshots/.2025-01-15T000000Z-0a1b2c", "parts/.a_1_1_0-0123456789abcdef.0a1b2c"):
        (shop.backups / left).mkdir()
        (shop.backups / left / "half").write_text("")
    (shop.store.folder / "parts" / "b_2_2_0").rename(shop.store.folder / "b")
    assert shop.back_up(3, keep=5).removed == []
    assert len(snapshots_in(shop.backups)) == 4
    assert not [*shop.backups.glob("*/.*")]
    last = shop.back_up(4, keep=2)
    assert last.removed == [each.snapshot for each in done]
    assert snapshots_in(shop.backups)[-1] == last.snapshot
    assert len([*(shop.backups / "snapshots").iterdir()]) == 2
    assert [each.name.partition("-")[0] for each in (shop.backups / "parts").iterdir()] == ["a_1_1_0"]


def test_of_snapshots_within_a_second_the_oldest_is_removed_first(shop: Shop) -> None:
    """A time whose milliseconds are zero is written without them elsewhere, and as text would come last."""
    assert NOW_MS % 1000 == 0
    first, second, third = (back_up(shop.data, shop.store, shop.backups, NOW_MS + each, keep=2) for each in (0, 5, 50))
    assert (second.removed, third.removed) == ([], [first.snapshot])
    assert snapshots_in(shop.backups) == [second.snapshot, third.snapshot]


def test_what_others_keep_beside_backups_is_never_removed(shop: Shop) -> None:
    shop.back_up()
    theirs = [shop.backups / name for name in ("snapshots/of my disk", "snapshots/.hidden", "parts/list", "parts/a-b")]
    for each in theirs:
        each.mkdir()
    (shop.backups / "parts" / "notes.txt").write_text("mine")
    shop.back_up(1, keep=1)
    assert len(snapshots_in(shop.backups)) == 1
    assert all(each.is_dir() for each in theirs)
    assert (shop.backups / "parts" / "notes.txt").read_text() == "mine"


def test_of_two_who_use_a_folder_of_backups_at_once_the_second_is_told_to_wait(shop: Shop) -> None:
    """A backup with `--keep` removes parts that no snapshot has yet, and snapshots that somebody may be restoring."""
    shop.back_up()
    refused: list[str] = []

    def meanwhile() -> None:
        for other in (lambda: shop.back_up(5, keep=1), lambda: restore(shop.backups, shop.new, shop.opened)):
            with pytest.raises(Unavailable, match="Try again") as caught:
                other()
            refused.append(str(caught.value))

    shop.store.during_freeze = meanwhile
    shop.back_up(1)
    assert len(refused) == 2
    shop.store.during_freeze = lambda: None

    def finish(_draft: Path) -> int:
        with pytest.raises(Unavailable, match="restored from it"):
            shop.back_up(6, keep=1)
        restore(shop.backups, shop.new.with_name("another"), shop.opened)  # which removes nothing
        return 0

    restore(shop.backups, shop.new, shop.opened, finish=finish)
    assert len(snapshots_in(shop.backups)) == 2


def test_a_copy_of_backups_that_nobody_can_write_to_restores(shop: Shop) -> None:
    shop.back_up()
    (shop.backups / "lock").unlink()
    restore(shop.backups, shop.new, shop.opened)
    assert not (shop.backups / "lock").exists()


@pytest.mark.parametrize("keep", [0, -1])
def test_to_keep_no_backup_is_refused_and_removes_none(shop: Shop, keep: int) -> None:
    shop.back_up()
    with pytest.raises(InvalidRequest, match="'keep' must be 1 or more"):
        shop.back_up(1, keep=keep)
    assert len(snapshots_in(shop.backups)) == 1


def test_a_backup_that_fails_leaves_neither_a_snapshot_nor_the_engines_copies(shop: Shop) -> None:
    def fail() -> None:
        shop.store.frozen("half").mkdir(parents=True)
        raise StoreFailed("no")

    shop.store.during_freeze = fail
    with pytest.raises(StoreFailed):
        shop.back_up()
    assert [*(shop.backups / "snapshots").iterdir()] == []
    assert snapshots_in(shop.backups) == []


@pytest.mark.parametrize("below", [".", "store", "tmp/a", "imports/../tmp"])
def test_a_backup_into_what_is_the_servers_own_is_refused_and_writes_nothing(shop: Shop, below: str) -> None:
    before = sorted(shop.data.rglob("*"))
    with pytest.raises(InvalidRequest, match="belongs to the server's data"):
        back_up(shop.data, shop.store, shop.data / below, NOW_MS)
    assert sorted(shop.data.rglob("*")) == before


def test_a_folder_that_cannot_be_written_and_a_database_that_is_not_there_are_said(shop: Shop) -> None:
    shop.backups.write_text("a file")
    with pytest.raises(InvalidRequest, match=r"cannot be written to .*backups: .*user that runs it"):
        shop.back_up()
    shop.backups.unlink()
    (shop.data / "log.sqlite").unlink()
    with pytest.raises(InvalidRequest, match=r"log\.sqlite cannot be copied"):
        shop.back_up()
    assert not (shop.data / "log.sqlite").exists()


def test_every_file_and_folder_of_a_snapshot_is_synced_before_it_is_acknowledged(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    shop.back_up()
    paths = [each for each in shop.backups.rglob("*") if each.name != "lock"]
    assert {"manifest.json", "data.bin", "control.sqlite", "log.sqlite"} <= {each.name for each in paths}
    assert [each for each in paths if each.stat().st_ino not in synced] == []
    synced.clear()
    restore(shop.backups, shop.new, shop.opened)
    restored = [*shop.new.rglob("*.*")]
    assert len(restored) == 4
    assert [each for each in restored if each.stat().st_ino not in synced] == []


def test_a_restore_gives_back_every_byte_to_nobody_but_its_owner(shop: Shop) -> None:
    shop.back_up()
    shop.note("log.sqlite", "second")
    latest = shop.back_up(1)
    left = shop.new.with_name("new.restoring")
    left.mkdir()
    (left / "of an earlier try").write_text("")
    shop.new.mkdir()  # an empty folder is as good as none
    done = restore(shop.backups, shop.new, shop.opened)
    assert (done.snapshot, done.bytes, done.erased) == (latest.snapshot, latest.bytes, 0)
    assert done.taken_at == manifest_of(shop.backups, latest.snapshot).taken_at
    assert notes_in(shop.new / "log.sqlite") == ["first", "second"]
    assert shop.restored is not None
    assert shop.restored.attached == ["a_1_1_0"]
    assert sorted(each.name for each in shop.new.iterdir()) == ["arriving", *DATABASES]
    assert stat.S_IMODE(shop.new.stat().st_mode) == 0o700
    assert {stat.S_IMODE((shop.new / name).stat().st_mode) for name in DATABASES} == {0o600}


def test_a_snapshot_is_restored_by_name(shop: Shop) -> None:
    first = shop.back_up().snapshot
    shop.note("control.sqlite", "second")
    shop.back_up(1)
    restore(shop.backups, shop.new, shop.opened, snapshot=first)
    assert notes_in(shop.new / "control.sqlite") == ["first"]


def test_what_was_erased_since_is_erased_again_and_stays_on_the_list(shop: Shop) -> None:
    shop.back_up()
    later = MemoryErasedEvents()
    gone_before, gone_since, never_stored = (ErasedEvent(each, 7) for each in (FIRST - 64, SECOND, SECOND + 64))
    later.add([gone_before, gone_since, never_stored])
    assert restore(shop.backups, shop.new, shop.opened, erased_later=later).erased == 1
    assert shop.restored is not None
    assert shop.restored.ids == {event_id(FIRST, 7)}
    listed = [each.position for page in shop.erased_there.pages(0, 1 << 63) for each in page]
    assert listed == [FIRST - 64, SECOND, SECOND + 64]


def test_a_folder_in_use_and_a_file_are_never_overwritten(shop: Shop) -> None:
    shop.back_up()
    for make in (lambda: shop.new.write_text("mine"), lambda: (shop.new.mkdir(), (shop.new / "x").write_text("mine"))):
        make()
        with pytest.raises(SettingsError, match=r"is not (empty|a folder)"):
            restore(shop.backups, shop.new, shop.opened)
        if shop.new.is_file():
            assert shop.new.read_text() == "mine"
            shop.new.unlink()


def test_of_two_restores_into_one_folder_the_second_is_refused(shop: Shop) -> None:
    shop.back_up()
    for make in (lambda: None, shop.new.mkdir):
        make()

        def finish(_draft: Path) -> int:
            with pytest.raises(SettingsError, match=r"Another restore into .*new is running"):
                restore(shop.backups, shop.new, shop.opened)
            return 0

        restore(shop.backups, shop.new, shop.opened, finish=finish)
        assert notes_in(shop.new / "log.sqlite") == ["first"]
        shutil.rmtree(shop.new)


@pytest.mark.parametrize("exists", [False, True])
def test_a_restore_that_fails_leaves_the_folder_as_it_was_and_takes_no_room(shop: Shop, exists: bool) -> None:
    shop.back_up()
    if exists:
        shop.new.mkdir()

    def finish(_draft: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(shop.new.parent.iterdir())
    with pytest.raises(OSError, match="No space"):
        restore(shop.backups, shop.new, shop.opened, finish=finish)
    assert sorted(shop.new.parent.iterdir()) == before
    assert not exists or [*shop.new.iterdir()] == []


def test_a_folder_that_cannot_be_replaced_is_filled_and_no_server_takes_half_of_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the mount point of a container's volume is."""
    rename = os.rename

    def as_over_a_mount(source: Path, target: Path) -> None:
        if shop.new in Path(source).parents and shop.new not in Path(target).parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", as_over_a_mount)
    shop.back_up()
    (shop.new / "lost+found").mkdir(parents=True)
    mode = shop.new.stat().st_mode

    def cut_off(draft: Path) -> int:
        assert draft == shop.new / ".restoring"
        with pytest.raises(SettingsError, match="was cut off: remove everything"):
            DataFolder(shop.new)
        shutil.copytree(draft, shop.data.with_name("left"))
        return 0

    restore(shop.backups, shop.new, shop.opened, finish=cut_off)
    assert sorted(each.name for each in shop.new.iterdir()) == ["arriving", *DATABASES, "lost+found"]
    assert shop.new.stat().st_mode == mode
    # What a restore leaves that is killed goes with the next, but not where it had begun to move files.
    for each in shop.new.iterdir():
        (shutil.rmtree if each.is_dir() else os.unlink)(each)
    shutil.move(shop.data.with_name("left"), shop.new / ".restoring")
    (shop.new / "control.sqlite").write_text("moved already")
    with pytest.raises(SettingsError, match="was cut off: remove everything"):
        restore(shop.backups, shop.new, shop.opened)
    (shop.new / "control.sqlite").unlink()
    restore(shop.backups, shop.new, shop.opened)
    assert notes_in(shop.new / "control.sqlite") == ["first"]


def test_a_restore_fills_what_a_link_leads_to_and_the_folder_it_is_run_in(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.back_up()
    disk = shop.new.with_name("disk")
    disk.mkdir()
    shop.new.symlink_to(disk)
    restore(shop.backups, shop.new, shop.opened)
    assert shop.new.is_symlink()
    assert notes_in(disk / "log.sqlite") == ["first"]
    here = disk.with_name("here")
    here.mkdir()
    monkeypatch.chdir(here)
    shop.new.unlink()
    restore(shop.backups, Path(), shop.opened)
    assert notes_in(here / "log.sqlite") == ["first"]


@pytest.mark.parametrize("change", ["database missing", "database longer", "part missing", "part shorter"])
def test_a_snapshot_that_is_not_whole_is_refused_and_makes_nothing(shop: Shop, change: str) -> None:
    name = shop.back_up().snapshot
    database = shop.backups / "snapshots" / name / "log.sqlite"
    data = next((shop.backups / "parts").rglob("data.bin"))
    if change == "database missing":
        database.unlink()
    elif change == "database longer":
        database.write_bytes(database.read_bytes() + b"x")
    elif change == "part missing":
        data.parent.rename(shop.backups / "elsewhere")
    else:
        data.write_text("short")
    with pytest.raises(InvalidRequest, match="missing, or its size has changed"):
        restore(shop.backups, shop.new, shop.opened)
    assert not shop.new.exists()
    assert not shop.new.with_name("new.restoring").exists()


@pytest.mark.parametrize(("content", "why"), [("{", "cannot be read"), ("", "cannot be read"), (3, "restore it with")])
def test_a_manifest_that_cannot_be_read_or_is_of_another_version_is_refused(
    shop: Shop, content: str | int, why: str
) -> None:
    name = shop.back_up().snapshot
    path = shop.backups / "snapshots" / name / "manifest.json"
    if isinstance(content, int):
        content = msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"format": content}).decode()
    path.write_text(content)
    with pytest.raises(InvalidRequest, match=why):
        restore(shop.backups, shop.new, shop.opened)
