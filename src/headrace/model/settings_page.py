"""The page docs/settings.md, made from the settings."""

from typing import Any, get_type_hints

from headrace.model.quantities import render_size, render_time
from headrace.model.settings import Settings, limit_field
from headrace.model.written import PREFIX

_HEAD = """# Settings

Every setting is an environment variable. `headrace settings` prints this page. A size is a number
of bytes, or takes a unit: `10MiB`. A time is a number of seconds (of milliseconds where the name
ends in `_MS`), or takes a unit: `90s`, `7d`. A variable that begins with `HEADRACE_` and is not a
setting is an error, except those that Kubernetes sets beside a service named `headrace`, and
`HEADRACE_KEY` (for `headrace mcp` and `--url`), `HEADRACE_CONSOLE` (for installs) and
`HEADRACE_URL`.
"""


def render_page(settings: type[Settings], /) -> str:
    """The page of some settings, in Markdown."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else 'empty'} | {meaning} |"
        for variable, default, meaning in table(settings)
    ]
    return "\n".join((_HEAD, "| variable | default | meaning |", "|---|---|---|", *rows))


def table(settings: type[Settings], /) -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, in order."""
    hints = get_type_hints(settings, include_extras=True)
    defaults = settings()
    return [
        (PREFIX + field.upper(), _shown(field, getattr(defaults, field)), _description(hints[field]))
        for field in _in_order(settings)
    ]


def _in_order(settings: type[Settings]) -> list[str]:
    """The fields, with the rate limits behind the switch of them all."""
    limits = [limit_field(name) for name in settings().limits()]
    fields = [field for field in settings.__struct_fields__ if field not in limits]
    at = fields.index("rate_limits") + 1
    return [*fields[:at], *limits, *fields[at:]]


def _shown(field: str, value: Any) -> str:
    """As it may be written."""
    if field.endswith("_bytes"):
        return render_size(value)
    if field.endswith("_s"):
        return render_time(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _description(hint: Any) -> str:
    return next(meta.description for meta in reversed(hint.__metadata__) if meta.description)
