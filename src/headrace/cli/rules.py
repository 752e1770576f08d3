"""`headrace rules`: apply and show a project's rules. Works with or without a running server."""

import os
import sys
from functools import partial
from pathlib import Path

import msgspec
from cyclopts import App

from headrace.cli.opened import Data, now_ms, open_used
from headrace.control.journey_runs import ControlJourneys
from headrace.control.rulebook import Rulebook
from headrace.dialects.settings import ServerSettings
from headrace.model.errors import InvalidRules, SettingsError
from headrace.model.keys import check_project

app = App(name="rules", help="Apply and show a project's rules. Works with or without a running server.")


@app.command
def apply(
    file: Path,
    /,
    *,
    project: str = "default",
    dry_run: bool = False,
    move_runs: bool = False,
    data: Data = None,
) -> None:
    """Apply a project's rules, all or nothing. A running server follows with the next event.

    Args:
        file: A YAML or JSON document.
        project: Project whose rules these are, in both of its modes.
        dry_run: Check the document and show what it would change, without applying it.
        move_runs: Let runs of changed journeys continue on the new version, if it has their current step.
    """
    # Imported here: it loads the condition language, which no other command needs.
    from headrace.assembly.log import last_position_of  # noqa: PLC0415
    from headrace.pipeline.applying_rules import apply_rules  # noqa: PLC0415

    check_project(project)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {file}: {error.strerror}.") from None
    with open_used(data) as engine:
        try:
            last = partial(last_position_of, ServerSettings.from_environ(os.environ, data=data))
            applied = apply_rules(
                *(Rulebook(engine), project, text, now_ms()),
                last=last,
                dry_run=dry_run,
                move_runs=move_runs,
                awaited=ControlJourneys(engine).awaited,
            )
        except InvalidRules as invalid:
            for problem in invalid.problems:
                place = f"{file}:{problem.line}" if problem.line else str(file)
                print(f"{place}: {problem.path or 'the document'}: {problem.detail}", file=sys.stderr)
            raise SystemExit(2) from None
    for change in applied.changes:
        print(f"{change.change:<9} {change.kind} {change.id}{'  (progress restarts)' * change.starts_anew}")
    for each in applied.journeys:
        stay = each.runs - each.moves
        print(f"runs      journey {each.id}  {each.moves} move to the new version, {stay} finish on theirs")
    for warning in applied.warnings:
        place = f"{file}:{warning.line}" if warning.line else str(file)
        print(f"{place}: warning: {warning.path}: {warning.detail}", file=sys.stderr)
    said = "would be applied" if dry_run else "applied" if applied.applied else "was already in force"
    print(f"version {applied.version} {said}")


@app.command
def show(*, project: str = "default", data: Data = None) -> None:
    """Print the rules in force as a JSON document that `headrace rules apply` accepts.

    Args:
        project: Project whose rules to print.
    """
    with open_used(data) as engine:
        found = Rulebook(engine).current(project)
    print(msgspec.json.format(found[0].document if found else "{}"))
