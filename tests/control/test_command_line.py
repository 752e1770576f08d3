"""The command line as a shell sees it: what is on stdout, what on stderr, and the exit code.

Most commands run in this process, since each interpreter takes a second to start; a few run as a shell would run them.
"""

import getpass
import json
import os
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from headrace import __version__
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from headrace.model.event import Tenant
from headrace.model.keys import Key
from headrace.model.times import render_time_short
from tests.commands import CLEAN, headrace
from tests.forks import run as run_forked


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_forked([sys.executable, "-m", "headrace.cli.main", *map(str, arguments)], CLEAN)


@pytest.fixture(autouse=True)
def _used_by_a_server(tmp_path: Path) -> None:
    """The folder has what a server makes first."""
    open_database(tmp_path / "control.sqlite").dispose()


def create(data: Path, *arguments: object) -> str:
    made = headrace("keys", "create", "--data", data, *arguments)
    assert (made.returncode, made.stderr) == (0, "")
    return made.stdout.removesuffix("\n")


def kept(data: Path) -> Key:
    """The one key in the database."""
    engine = open_database(data / "control.sqlite")
    [key] = Keys(engine).list()
    engine.dispose()
    return key


def assert_one_line(refused: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(r"headrace: .+\n", refused.stderr)
    assert all(word in refused.stderr for word in words), refused.stderr


def test_create_prints_the_key_alone(tmp_path: Path):
    made = process("keys", "create", "--data", tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"sk_live_[A-Za-z0-9_-]{32,}\n", made.stdout)


def test_create_takes_project_mode_style_scopes_and_expiry(tmp_path: Path):
    secret = create(
        tmp_path,
        *("--project", "shop", "--mode", "test", "--style", "solute"),
        *("--scopes", "query,ingest", "--expires-in", "30d"),
    )
    assert secret.startswith("sol_test_")
    key = kept(tmp_path)
    assert (key.tenant, key.style, key.scopes) == (Tenant("shop", "test"), "solute", {"ingest", "query"})
    assert key.expires_at_ms == key.created_at_ms + 30 * 86_400_000


def test_the_folder_comes_from_the_environment_and_the_option_wins(tmp_path: Path):
    for name in ("env", "option"):
        (tmp_path / name).mkdir()
        open_database(tmp_path / name / "control.sqlite").dispose()
    headrace("keys", "create", HEADRACE_DATA=str(tmp_path / "env"))
    headrace("keys", "create", "--data", tmp_path / "option", HEADRACE_DATA=str(tmp_path / "no"))
    assert [kept(tmp_path / name).style for name in ("env", "option")] == ["flux", "flux"]


@pytest.mark.parametrize(
    "command", [("keys", "create"), ("keys", "list"), ("rules", "apply", __file__), ("rules", "show"), ("audit",)]
)
def test_a_folder_that_no_server_has_used_is_told_and_not_made(tmp_path: Path, command: tuple[str, ...]):
    mistyped = tmp_path / "dta"
    assert_one_line(headrace(*command, "--data", mistyped), str(mistyped), "headrace serve")
    assert not mistyped.exists()


def test_a_piped_list_is_a_line_a_key_with_tabs_between(tmp_path: Path):
    secret = create(tmp_path, "--style", "admin")
    head, line = headrace("keys", "list", "--data", tmp_path).stdout.splitlines()
    row = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    assert (row["project"], row["scopes"]) == ("default", "ingest,query,admin")
    assert (row["status"], row["revoked_at"]) == ("works", "-")
    assert secret.startswith(row["prefix"])
    assert secret not in line


def test_a_list_on_a_terminal_is_a_table_whose_ids_are_whole(tmp_path: Path):
    secret = create(tmp_path, "--project", "x" * 40, "--expires-in", "1y")
    key = kept(tmp_path)
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "headrace.cli.main", "keys", "list", "--data", tmp_path]
    subprocess.run(command, env=CLEAN | {"COLUMNS": "80", "TERM": "xterm"}, stdout=terminal, check=True)
    os.close(terminal)
    shown = ""
    with suppress(OSError):  # Linux says EIO at the end
        while chunk := os.read(master, 65536):
            shown += chunk.decode()
    os.close(master)
    assert key.id in shown
    assert key.prefix in shown
    assert secret not in shown


def test_a_list_as_json_has_every_field_of_a_key_but_its_secret(tmp_path: Path):
    secret = create(tmp_path, "--expires-in", "90s", "--name", "the shop")
    key = kept(tmp_path)
    printed = headrace("keys", "list", "--json", "--data", tmp_path).stdout
    assert json.loads(printed) == [
        {
            "id": key.id,
            "project": "default",
            "mode": "live",
            "style": "flux",
            "scopes": ["ingest", "query"],
            "prefix": key.prefix,
            "status": "works",
            "created_at": render_time_short(key.created_at_ms // 1000 * 1000),
            "expires_at": render_time_short(key.created_at_ms // 1000 * 1000 + 90_000),
            "revoked_at": None,
            "origins": [],
            "name": "the shop",
            "last_used_at": None,
            "replaced_by": None,
        }
    ]
    assert secret not in printed


def test_a_publishable_key_can_only_send_and_names_the_pages_it_is_for(tmp_path: Path):
    secret = create(tmp_path, "--publishable", "--origins", "https://App.example/,https://*.b.example, http://c:8080")
    key = kept(tmp_path)
    assert secret.startswith("pk_live_")
    assert key.scopes == {"ingest"}
    assert key.origins == ("https://app.example", "https://*.b.example", "http://c:8080")
    [row] = json.loads(headrace("keys", "list", "--json", "--data", tmp_path).stdout)
    assert (row["style"], row["origins"]) == ("publishable", list(key.origins))
    assert "https://app.example" in headrace("keys", "list", "--data", tmp_path).stdout
    assert secret not in (tmp_path / "control.sqlite").read_bytes().decode("latin-1")


def test_a_revoked_key_is_named_and_listed_as_revoked(tmp_path: Path):
    secret = create(tmp_path)
    done = headrace("keys", "revoke", "--stdin", "--data", tmp_path, stdin=f"{secret}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(tmp_path).id in done.stdout
    assert secret not in done.stdout
    assert kept(tmp_path).revoked_at_ms is not None
    assert "\trevoked\t" in headrace("keys", "list", "--data", tmp_path).stdout


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_a_whole_key_as_an_argument_is_refused_because_others_see_it_and_nothing_is_done(tmp_path: Path, command: str):
    secret = create(tmp_path)
    key = kept(tmp_path)
    for shown in (secret, secret[:-20], secret[: len(key.prefix) + 1]):
        refused = headrace("keys", command, shown, "--data", tmp_path)
        assert_one_line(refused, "headrace keys list", "stdin")
        assert shown not in refused.stderr
    assert_one_line(headrace("keys", command, "--stdin", "--data", tmp_path), "stdin")
    assert_one_line(headrace("keys", command, "--data", tmp_path), "--stdin")
    assert kept(tmp_path) == key
    assert headrace("keys", command, key.prefix, "--data", tmp_path).returncode == 0


def test_a_rotation_prints_the_new_key_alone_and_says_on_stderr_until_when_the_other_works(tmp_path: Path):
    secret = create(tmp_path, "--style", "admin", "--name", "deploy")
    former = kept(tmp_path)
    done = headrace("keys", "rotate", former.id, "--overlap", "7d", "--data", tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"adm_live_[A-Za-z0-9_-]{32,}\n", done.stdout)
    listed = json.loads(headrace("keys", "list", "--json", "--data", tmp_path).stdout)
    [old] = [each for each in listed if each["id"] == former.id]
    [new] = [each for each in listed if each["id"] != former.id]
    assert done.stderr == f"{new['id']} takes the place of {former.id}, which works until {old['expires_at']}\n"
    assert (old["replaced_by"], new["name"], new["scopes"]) == (new["id"], "deploy", ["ingest", "query", "admin"])
    assert done.stdout.strip().startswith(new["prefix"])
    assert secret not in done.stderr
    assert_one_line(headrace("keys", "rotate", former.id, "--data", tmp_path), new["id"])
    assert_one_line(headrace("keys", "rotate", new["id"], "--overlap", "2y", "--data", tmp_path), "--overlap")


def test_what_commands_change_is_in_the_audit_with_who_and_where_and_no_secret(tmp_path: Path):
    secret = create(tmp_path, "--project", "shop", "--mode", "test")
    key = kept(tmp_path)
    (tmp_path / "rules.yaml").write_text("badges: [{id: b, title: B, fact: custom.b, count: 1}]")
    for command in (
        ("rules", "apply", tmp_path / "rules.yaml", "--project", "shop", "--dry-run"),
        ("rules", "apply", tmp_path / "rules.yaml", "--project", "shop"),
        ("rules", "show"),
        ("keys", "list"),
        ("keys", "revoke", key.id),
        ("audit",),
    ):
        assert headrace(*command, "--data", tmp_path).returncode == 0
    printed = headrace("audit", "--json", "--data", tmp_path).stdout
    entries = json.loads(printed)
    told = [(each["action"], each["project"], each["mode"], each["outcome"]) for each in entries]
    assert told == [
        ("keys revoke", "shop", "test", "done"),
        ("rules apply", "shop", None, "done"),
        ("keys create", "shop", "test", "done"),
    ]
    assert key.id in entries[0]["detail"]
    assert secret not in printed
    by = {"kind": "command", "key_id": None, "prefix": None, "name": getpass.getuser(), "address": socket.gethostname()}
    assert all(each["by"] == by for each in entries)
    header, *lines = headrace("audit", "--data", tmp_path, "--action", "keys create").stdout.splitlines()
    assert len(lines) == 1
    row = dict(zip(header.split("\t"), lines[0].split("\t"), strict=True))
    assert (row["by"], row["project"], row["target"]) == (f"command of {getpass.getuser()}", "shop", "-")
    assert headrace("audit", "--data", tmp_path, "--project", "other").stdout.splitlines() == [header]
    assert_one_line(headrace("audit", "--data", tmp_path, "--limit", "0"), "--limit")
    assert_one_line(headrace("audit", "--data", tmp_path, "--from", "soon"), "from")


def test_a_command_that_is_refused_changes_nothing_and_leaves_no_entry(tmp_path: Path):
    assert headrace("keys", "create", "--project", "My Shop", "--data", tmp_path).returncode == 2
    assert headrace("keys", "revoke", "key_unknown", "--data", tmp_path).returncode == 2
    assert json.loads(headrace("audit", "--json", "--data", tmp_path).stdout) == []


def test_revoking_an_unknown_key_is_one_line_that_does_not_repeat_it(tmp_path: Path):
    create(tmp_path)
    refused = headrace("keys", "revoke", "sk_live_mistyped", "--data", tmp_path)
    assert_one_line(refused, "headrace keys list")
    assert "mistyped" not in refused.stderr


@pytest.mark.parametrize("command", [("export", "x"), ("prune", "--older-than", "1d"), ("rules", "apply", "x")])
@pytest.mark.parametrize("name", ["Shop", "☃"])
def test_a_command_for_what_cannot_be_a_project_says_so(tmp_path: Path, command: tuple[str, ...], name: str):
    assert_one_line(headrace(*command, "--project", name, "--data", tmp_path), "A project's name")


@pytest.mark.parametrize("command", [("list",), ("revoke", "x")])
def test_a_folder_without_a_database_is_not_made_by_looking_into_it(tmp_path: Path, command: tuple[str, ...]):
    data = tmp_path / "typo"
    assert_one_line(headrace("keys", *command, "--data", data), str(data), "--data")
    assert not data.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--project", "My Shop"), ["project"]),
        (("--style", "stripe"), ["--style", "flux", "solute"]),
        (("--mode", "prod"), ["--mode", "live", "test"]),
        (("--scopes", "ingest,root"), ["'root'", "ingest,query,admin"]),
        (("--scopes", ""), ["ingest,query,admin"]),
        (("--publishable", "--scopes", "ingest,query"), ["publishable", "ingest"]),
        (("--publishable", "--style", "admin"), ["publishable", "admin"]),
        (("--publishable", "--origins", "app.example"), ["'app.example'", "https://app.example"]),
        (("--origins", "https://app.example"), ["--publishable"]),
        (("--expires-in", "soon"), ["--expires-in", "soon"]),
        (("--expires-in", "0d"), ["future"]),
        (("--expires-in=-1d",), ["future"]),
        (("--expires-in", "9999y"), ["2262"]),
        (("--nonsense",), ["--nonsense"]),
        (("stray",), ["stray"]),
    ],
)
def test_a_wrong_argument_is_one_line_on_stderr(tmp_path: Path, arguments: tuple[str, ...], words: list[str]):
    assert_one_line(headrace("keys", "create", "--data", tmp_path, *arguments), *words)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for command in (("keys", "create"), ("serve",)):
        assert_one_line(process(*command, "--data", tmp_path / "file"), str(tmp_path / "file"), "HEADRACE_DATA")


def test_serve_refuses_a_bad_setting_in_one_line_that_names_it():
    assert_one_line(process("serve", "--port", "70000"), "HEADRACE_PORT", "65535")
    assert_one_line(headrace("serve", HEADRACE_LOG_LEVEL="loud"), "HEADRACE_LOG_LEVEL", "loud")
    assert_one_line(headrace("serve", "--port", "http"), "--port", "http")


def test_an_unknown_command_is_one_line_with_the_known_ones():
    assert_one_line(headrace("server"), "server", "serve", "keys")


def test_version_is_the_version():
    assert process("--version").stdout == f"{__version__}\n"


def test_help_is_on_stdout():
    shown = headrace("keys", "create", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage: headrace" in shown.stdout


def test_a_command_on_keys_loads_no_engine_and_no_server(tmp_path: Path):
    create(tmp_path)
    program = (
        "import sys; from headrace.cli.main import app; app(sys.argv[1:]); "
        "print(*{'chdb', 'clickhouse_connect', 'falcon', 'uvicorn', 'alembic'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, "keys", "create", "--data", tmp_path],
        env=CLEAN,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines()[1:] == [""]


def test_a_reader_that_has_had_enough_ends_it_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", "settings"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=CLEAN,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
