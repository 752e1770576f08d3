"""Who asks a question of events. No I/O."""

import msgspec


class Asker(msgspec.Struct, frozen=True):
    """owner: the project that asks. kind: the route; what a question costs is learnt by both."""

    owner: str = ""
    kind: str = ""
