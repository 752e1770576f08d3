"""The page docs/settings.md, made from the settings."""

from typing import Any, get_type_hints

from headrace.model.quantities import render_size, render_time
from headrace.model.settings import Settings
from headrace.model.written import PREFIX

_HEAD = """# Settings

Every setting is an environment variable. `headrace settings` prints this page. A size is a number
of bytes, or takes a unit: `10MiB`. A time is a number of seconds (of milliseconds where the name
ends in `_MS`), or takes a unit: `90s`, `7d`. A variable that begins with `HEADRACE_` and is not a
setting is an error, except those that Kubernetes sets beside a service named `headrace`.
"""


def render_page() -> str:
    """The page, in Markdown."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else 'empty'} | {meaning} |"
        for variable, default, meaning in table()
    ]
    return "\n".join((_HEAD, "| variable | default | meaning |", "|---|---|---|", *rows))


def table() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    return [
        (PREFIX + field.upper(), _shown(field, getattr(defaults, field)), _description(hints[field]))
        for field in Settings.__struct_fields__
    ]


def _shown(field: str, value: Any) -> str:
    """As it may be written."""
    if field.endswith("_bytes"):
        return render_size(value)
    if field.endswith("_s"):
        return render_time(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _description(hint: Any) -> str:
    return next(meta.description for meta in reversed(hint.__metadata__) if meta.description)
