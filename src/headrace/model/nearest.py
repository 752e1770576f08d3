"""Which known name an unknown one most likely is. Pure."""

from collections.abc import Collection
from difflib import get_close_matches

_MAX_COMPARED = 200


def nearest_name(name: str, known: Collection[str], /) -> str:
    """The known name that is most like it; "" if none is alike. `userId`, `user_id` and `user-id` count as one spelling."""
    by_folded = {_folded(each): each for each in known}
    close = get_close_matches(_folded(name[:_MAX_COMPARED]), by_folded, n=1, cutoff=0.5)
    return by_folded[close[0]] if close else ""


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
