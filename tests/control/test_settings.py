"""Settings come from the environment; a bad one says which it is; the documentation is made from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.model.errors import SettingsError
from headrace.model.settings import Settings, table

# Or checked where they are read: http/addresses.py.
FREE_TEXT = {"HEADRACE_HOST", "HEADRACE_DATA", "HEADRACE_ADMIN_KEY", "HEADRACE_HOT_TAGS"}
FREE_TEXT |= {"HEADRACE_PUBLIC_URL", "HEADRACE_TRUSTED_PROXIES"}
FREE_TEXT |= {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS"}  # see tests/delivery/test_addresses.py
CHECKED = [variable for variable, _, _ in table() if variable not in FREE_TEXT]


def test_without_an_environment_everything_has_its_default():
    assert Settings.from_environ({}) == Settings()


def test_the_command_line_wins_over_the_environment_which_wins_over_the_default():
    environ = {"HEADRACE_HOST": "0.0.0.0", "HEADRACE_PORT": "9000"}
    settings = Settings.from_environ(environ, host=None, port=9001)
    assert (settings.host, settings.port, settings.data) == ("0.0.0.0", 9001, Path("headrace-data"))


def test_an_empty_variable_is_as_if_absent():
    assert Settings.from_environ({"HEADRACE_PORT": ""}).port == 8080


@pytest.mark.parametrize("variable", CHECKED)
def test_a_bad_value_names_its_variable(variable: str):
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Settings.from_environ({variable: "nonsense"})


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
        ("HEADRACE_RATE_LIMITS", "ON"),
    ],
)
def test_a_value_out_of_range_names_its_variable(variable: str, value: str):
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Settings.from_environ({variable: value})


def test_the_command_lines_value_is_checked_like_the_environments():
    with pytest.raises(SettingsError, match=r"^HEADRACE_PORT: "):
        Settings.from_environ({}, port=70_000)


def test_every_setting_says_what_it_means():
    for variable, _, meaning in table():
        assert meaning.endswith("."), variable


def test_the_page_in_docs_is_what_the_command_prints():
    printed = subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", "settings"],
        capture_output=True,
        text=True,
        check=True,
    )
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text("utf-8") == printed.stdout
