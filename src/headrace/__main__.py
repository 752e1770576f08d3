"""Starts the command line if this Python can run it. Checks that before any import, whose failure would not mention versions."""

import sys

OLDEST, NEWEST = (3, 11), (3, 14)  # as in pyproject.toml


def main() -> None:
    """Run the command in sys.argv, or exit with code 2 and one line on stderr if this Python is too old or too new."""
    found = sys.version_info[:3]
    if not OLDEST <= found[:2] <= NEWEST:
        oldest, newest, this = (".".join(map(str, version)) for version in (OLDEST, NEWEST, found))
        sys.stderr.write(f"headrace: needs Python {oldest} to {newest}; this is Python {this} ({sys.executable}).\n")
        raise SystemExit(2)
    from headrace.cli.main import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
