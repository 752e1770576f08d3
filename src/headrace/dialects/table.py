"""Every dialect that this server speaks, and which of them renders the errors at a path."""

from collections.abc import Sequence

from headrace.dialects import amplitude, bricqs, cloudevents, native
from headrace.dialects.flux_routes import DIALECT as FLUX
from headrace.dialects.hogsend_routes import DIALECT as HOGSEND
from headrace.dialects.mixpanel_routes import DIALECT as MIXPANEL
from headrace.dialects.posthog_routes import DIALECT as POSTHOG
from headrace.dialects.route import Dialect, Ingest
from headrace.dialects.segment_routes import DIALECT as SEGMENT
from headrace.dialects.solute_routes import DIALECT as SOLUTE

DIALECTS: tuple[Dialect, ...] = (
    FLUX,
    bricqs.DIALECT,
    SOLUTE,
    HOGSEND,
    native.DIALECT,
    SEGMENT,
    POSTHOG,
    amplitude.DIALECT,
    MIXPANEL,
    cloudevents.DIALECT,
)


class Owners:
    """Finds the dialect of a path: that of its route, or else of the longest route or prefix that the path begins with.

    `otherwise` gets all other paths.
    """

    def __init__(self, dialects: Sequence[Dialect], otherwise: Dialect) -> None:
        self._otherwise = otherwise
        places: dict[tuple[str, ...], Dialect] = {}
        for dialect in dialects:
            for route in dialect.routes:
                if not (isinstance(route.does, Ingest) and route.does.is_claimant):
                    places.setdefault(_segments(route.path), dialect)
            places |= {_segments(prefix): dialect for prefix in dialect.prefixes}
        # The longest first. Among equally long ones, literal segments before parameters.
        self._places = sorted(places.items(), key=lambda place: (-len(place[0]), sum(map(_is_any, place[0]))))

    def owner_of(self, path: str, /) -> Dialect:
        segments = _segments(path)
        return next((dialect for place, dialect in self._places if _begins_with(segments, place)), self._otherwise)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.removesuffix("/").split("/")[1:])


def _is_any(segment: str) -> bool:
    return segment.startswith("{")


def _begins_with(segments: tuple[str, ...], place: tuple[str, ...]) -> bool:
    return len(segments) >= len(place) and all(
        segment == own or (_is_any(own) and segment != "") for own, segment in zip(place, segments, strict=False)
    )
