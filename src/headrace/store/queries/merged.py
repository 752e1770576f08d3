"""Which ids go by another id of their person, as the store holds it for a question, and as it is put into one. Pure."""

from headrace.store.queries.conditions import Query
from headrace.store.queries.place import ONE_SERVER, Place

COLUMNS = ("edition", "id", "person")


def joined(rows: str, edition: int | None, /) -> tuple[str, dict[str, object]]:
    """The rows with a column `person` beside their column `owner`, and the values that this names.

    edition: of the merged ids; None where nobody has any.
    """
    if edition is None:
        return f"(SELECT *, owner AS person FROM {rows})", {}
    merged = "(SELECT id, person AS goes_by FROM merged_ids WHERE edition = {edition:UInt64})"
    person = "if(goes_by = '', owner, goes_by) AS person"
    found = f"(SELECT *, {person} FROM {rows} AS rows LEFT ANY JOIN {merged} AS merged ON rows.owner = merged.id)"
    return found, {"edition": edition}


def editions() -> Query:
    """A row (edition) for each that the store holds."""
    return Query("SELECT DISTINCT edition FROM merged_ids", {})


def rows(edition: int, /) -> Query:
    """A row (count): how many ids the store holds of an edition."""
    return Query("SELECT count() FROM merged_ids WHERE edition = {edition:UInt64}", {"edition": edition})


def drop(edition: int, /, place: Place = ONE_SERVER) -> Query:
    """The statement that removes an edition."""
    return Query(f"ALTER TABLE {place.kept('merged_ids')} DROP PARTITION ID '{edition:d}'", {})
