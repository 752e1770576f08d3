"""Settings come from the environment; a bad one says which it is; the documentation is made from them."""

import sys
from pathlib import Path

import pytest

from headrace.dialects.settings import ServerSettings
from headrace.model.errors import SettingsError
from headrace.model.quantities import parse_size, parse_time, render_size, render_time
from headrace.model.settings_page import table
from tests.forks import run as run_forked

# Or checked where they are read: http/addresses.py.
FREE_TEXT = {"HEADRACE_HOST", "HEADRACE_DATA", "HEADRACE_ADMIN_KEY", "HEADRACE_HOT_TAGS"}
FREE_TEXT |= {"HEADRACE_PUBLIC_URL", "HEADRACE_TRUSTED_PROXIES", "HEADRACE_PEOPLE_PLACEHOLDERS"}
FREE_TEXT |= {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS"}  # see tests/delivery/test_addresses.py
FREE_TEXT |= {"HEADRACE_EXPORT_TO"}  # see tests/moving/test_continuous.py
CHECKED = [variable for variable, _, _ in table(ServerSettings) if variable not in FREE_TEXT]


def test_without_an_environment_everything_has_its_default():
    assert ServerSettings.from_environ({}) == ServerSettings()


def test_the_command_line_wins_over_the_environment_which_wins_over_the_default():
    environ = {"HEADRACE_HOST": "0.0.0.0", "HEADRACE_PORT": "9000"}
    settings = ServerSettings.from_environ(environ, host=None, port=9001)
    assert (settings.host, settings.port, settings.data) == ("0.0.0.0", 9001, Path("headrace-data"))


def test_an_empty_variable_is_as_if_absent():
    assert ServerSettings.from_environ({"HEADRACE_PORT": ""}).port == 8080


@pytest.mark.parametrize("variable", CHECKED)
def test_a_bad_value_names_its_variable(variable: str):
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        ServerSettings.from_environ({variable: "nonsense"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADRACE_PORT", "65536"),
        ("HEADRACE_PORT", "-1"),
        ("HEADRACE_LIMIT_FLUX_BATCH", "-1"),
        ("HEADRACE_MAX_EVENT_BYTES", "0"),
        ("HEADRACE_MAX_EVENT_BYTES", "1.5"),
        ("HEADRACE_DEDUP_WINDOW_S", "0"),
        ("HEADRACE_DEDUP_WINDOW_S", "nan"),
        ("HEADRACE_KEEP_ALIVE_S", "inf"),
        ("HEADRACE_SHUTDOWN_TIMEOUT_S", "1e12"),
        ("HEADRACE_WEBHOOK_OVERLAP_S", "inf"),
        ("HEADRACE_LOG_MAX_BYTES", "99999999999TiB"),
        ("HEADRACE_QUERY_CACHE_BYTES", "2000000TiB"),
        ("HEADRACE_MAX_CONNECTIONS", "10000000000"),
        ("HEADRACE_RATE_LIMITS", "ON"),
        ("HEADRACE_REPLAY_SHARE", "0"),
        ("HEADRACE_REPLAY_SHARE", "1.01"),
    ],
)
def test_a_value_out_of_range_names_its_variable(variable: str, value: str):
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        ServerSettings.from_environ({variable: value})


def test_the_command_lines_value_is_checked_like_the_environments():
    with pytest.raises(SettingsError, match=r"^HEADRACE_PORT: "):
        ServerSettings.from_environ({}, port=70_000)


def test_every_setting_says_what_it_means():
    for variable, _, meaning in table(ServerSettings):
        assert meaning.endswith("."), variable


def test_the_page_in_docs_is_what_the_command_prints():
    printed = run_forked([sys.executable, "-m", "headrace.cli.main", "settings"])
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text("utf-8") == printed.stdout


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("HEADRACE_PROT", "HEADRACE_PORT"),
        ("HEADRACE_LOGLEVEL", "HEADRACE_LOG_LEVEL"),
        ("HEADRACE_LIMIT_FLUX", "HEADRACE_LIMIT_FLUX_GEM"),
        ("HEADRACE_Port", "HEADRACE_PORT"),
        ("HEADRACE_", "headrace settings"),
        ("HEADRACE_XYZZY", "headrace settings"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(variable: str, nearest: str):
    with pytest.raises(SettingsError, match=f"^{variable} is not a setting: .*{nearest}"):
        ServerSettings.from_environ({variable: "1"})


@pytest.mark.parametrize("variable", ["HEADRACE_KEY", "HEADRACE_CONSOLE", "HEADRACE_URL"])
def test_what_other_commands_of_ours_read_stops_no_server(variable: str):
    assert ServerSettings.from_environ({variable: "x"}) == ServerSettings()


def test_what_kubernetes_sets_beside_a_service_of_that_name_is_no_mistake():
    environ = {
        "HEADRACE_SERVICE_HOST": "10.0.0.7",
        "HEADRACE_SERVICE_PORT": "8080",
        "HEADRACE_SERVICE_PORT_HTTP": "8080",
        "HEADRACE_PORT": "tcp://10.0.0.7:8080",
        "HEADRACE_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "HEADRACE_PORT_8080_TCP_PROTO": "tcp",
    }
    assert ServerSettings.from_environ(environ) == ServerSettings()


@pytest.mark.parametrize(
    ("variable", "value", "means"),
    [
        ("HEADRACE_MAX_EVENT_BYTES", "1000", 1000),
        ("HEADRACE_MAX_EVENT_BYTES", "10MiB", 10 * 1024 * 1024),
        ("HEADRACE_MAX_EVENT_BYTES", "1.5 KiB", 1536),
        ("HEADRACE_MAX_EVENT_BYTES", "2kB", 2000),
        ("HEADRACE_MAX_EVENT_BYTES", "2k", 2048),
        ("HEADRACE_LOG_MAX_BYTES", "2G", 2 * 1024**3),
        ("HEADRACE_DEDUP_WINDOW_S", "7d", 604_800.0),
        ("HEADRACE_DEDUP_WINDOW_S", "1.5h", 5400.0),
        ("HEADRACE_BODY_TIMEOUT_S", "500ms", 0.5),
        ("HEADRACE_FLUSH_INTERVAL_MS", "2s", 2000),
        ("HEADRACE_FLUSH_INTERVAL_MS", "250ms", 250),
        ("HEADRACE_REPLAY_SHARE", "0.01", 0.01),
        ("HEADRACE_REPLAY_SHARE", "1", 1.0),
    ],
)
def test_sizes_and_times_take_units_and_the_ends_of_a_range_are_within_it(variable: str, value: str, means: float):
    settings = ServerSettings.from_environ({variable: value})
    assert getattr(settings, variable.removeprefix("HEADRACE_").lower()) == means


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HEADRACE_MAX_EVENT_BYTES", "10 parsecs", "unknown unit 'parsecs'"),
        ("HEADRACE_MAX_EVENT_BYTES", "ten", "'ten' is not a whole number; .*10MiB"),
        ("HEADRACE_MAX_EVENT_BYTES", "0.5B", "'0.5B' is not a whole number"),
        ("HEADRACE_DEDUP_WINDOW_S", "7y", "unknown unit 'y'"),
        ("HEADRACE_DEDUP_WINDOW_S", "0d", "must be more than 0; write .*90s"),
        ("HEADRACE_LOG_LEVEL", "loud", "'loud' is not one of debug, info, warning, error"),
        ("HEADRACE_PORT", "70000", "must be at most 65535"),
        ("HEADRACE_RATE_LIMITS", "no", "'no' is not one of on, off"),
    ],
)
def test_a_bad_value_is_told_with_what_may_be_written(variable: str, value: str, told: str):
    with pytest.raises(SettingsError, match=f"^{variable}: {told}"):
        ServerSettings.from_environ({variable: value})


def test_no_error_shows_a_secret():
    with pytest.raises(SettingsError) as refused:
        ServerSettings.from_environ({"HEADRACE_CONTROL_URL": "mysql://user:s3cret@host/name"})
    assert "s3cret" not in str(refused.value)


def test_every_default_in_the_documentation_is_one_that_may_be_written():
    environ = {variable: default for variable, default, _ in table(ServerSettings)}
    assert ServerSettings.from_environ(environ) == ServerSettings()


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (3 * 1024**4, "3TiB"),
        (1024**3, "1GiB"),
        (1536 * 1024**2, "1536MiB"),
        (1024, "1KiB"),
        (1023, "1023"),
        (1025**4, str(1025**4)),
        (0, "0"),
    ],
)
def test_a_size_is_shown_with_the_largest_unit_that_divides_it_and_read_back(size: int, written: str) -> None:
    assert render_size(size) == written
    assert parse_size(written) == str(size)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(604_800, "7d"), (90_000, "25h"), (5400, "90m"), (59, "59s"), (0.5, "0.5s"), (0, "0s")],
)
def test_a_time_is_shown_with_the_largest_unit_that_divides_it_and_read_back(seconds: float, written: str) -> None:
    assert render_time(seconds) == written
    assert float(parse_time(written)) == seconds
