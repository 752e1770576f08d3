"""`headrace store`: what the store has made of its own accord. Parses and prints."""

import os

from cyclopts import App

from headrace.cli.opened import Data
from headrace.dialects.settings import ServerSettings
from headrace.model.times import render_time

app = App(name="store", help="What the store has set up by itself.")


@app.command
def columns(*, data: Data = None) -> None:
    """List the tags and properties that have their own column, most used first, as tab-separated lines.

    `uses` and `seconds` count queries within HEADRACE_OWN_COLUMNS_KEEP_S; a column that is `filling` is not used yet. `counts`
    are how many events have each value by quarter of an hour, and perhaps by name, for columns whose values repeat. Asks the
    server running on the data folder, or opens the folder itself if no server runs.
    """
    # Imported here: it loads the store's engine.
    from headrace.cli.local import own_columns  # noqa: PLC0415

    print("kind", "key", "state", "uses", "seconds", "last_used", "bytes", "project", "counts", sep="\t")
    for each in own_columns(ServerSettings.from_environ(os.environ, data=data)):
        last = render_time(each.last_used_ms) if each.last_used_ms else "never"
        # A key may hold anything: as a literal it keeps to its column.
        key = ".".join(part if part.isprintable() and part else repr(part) for part in each.path)
        project = each.project or "HEADRACE_HOT_TAGS"
        print(each.kind, key, each.state, each.uses, each.seconds, last, each.bytes, project, each.counts, sep="\t")
