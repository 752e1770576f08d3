"""The capabilities of a server that is not there: its settings are the defaults, and nothing else may be asked for."""

from types import SimpleNamespace
from typing import cast

from headrace.assembly.capabilities.bundle import Capabilities
from headrace.model.settings import Settings


def bare_capabilities() -> Capabilities:
    names = dict.fromkeys(Capabilities.__struct_fields__, None)
    status = SimpleNamespace(throughput=SimpleNamespace(accepted=0, refused=0, refused_requests=0))
    # What is refused is noted, for whoever watches.
    nobody = {
        "admission": SimpleNamespace(known=lambda _shown: None, is_local=lambda _shown: False),
        "live": SimpleNamespace(refused=lambda *_: None),
    }
    return cast("Capabilities", SimpleNamespace(**names | nobody | {"settings": Settings(), "status": status}))
