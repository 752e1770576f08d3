"""The keys under which parts of the server pass things to each other in a request's ASGI scope."""

RATE_HEADERS = "headrace.rate_headers"
"""A dict of the rate-limit headers, for responses that no route makes."""

HUNG_UP = "headrace.hung_up"
"""A function to call if the client hangs up before it has its response."""

SEND_WHOLE = "headrace.send_whole"
"""A function that sends a status, header lines and a body at once; see whole_replies.py."""

ADMITTED = "headrace.admitted"
"""An Admitted: who sent the request. Only on routes that are audited."""


class BrokenOff(Exception):
    """A response that has begun will not be completed."""


STREAM = "headrace.stream"
"""A function to call once the server is shutting down: it ends a response that would otherwise go on."""

OPERATOR = "headrace.operator"
"""Set where the console's session is that of whoever runs the server."""
