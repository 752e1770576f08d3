"""Where the console's addresses are, and which of the API's routes each of its calls stands for. Pure."""

from collections.abc import Sequence

ROOT = "/console"
API = f"{ROOT}/api"


def is_console(path: str, /) -> bool:
    """Whether a path belongs to the console, route or not."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def console_path(path: str, /) -> str:
    """Where the console has a route of the API: `/console` in front of /api/…, `/console/api` in front of anything else."""
    return f"{ROOT}{path}" if path.startswith("/api/") else f"{API}{path}"


def api_paths(template: str, /) -> Sequence[str]:
    """The templates of the API that one of the server's may stand for: itself, and if it is the console's, the inverse above."""
    if not template.startswith(f"{API}/"):
        return (template,)
    return template.removeprefix(ROOT), template.removeprefix(API)
