"""When to retry a failed delivery. Pure: time and randomness are arguments."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_FIRST_MS, _FACTOR = 5_000, 3
LONGEST_MS = 4 * 3_600_000
_LONGEST_ASKED_MS = 3_600_000
_JITTER = 0.25


def next_try_ms(tries: int, now_ms: int, give_up_at_ms: int, asked_ms: int, chance: float, /) -> int:
    """When to try again after a number of failed tries; 0 for never.

    After 5 s, 15 s, 45 s, … up to 4 h, each 25 % more or less by chance (0 to 1), so that deliveries that failed together are
    not retried together. The last try is at `give_up_at_ms`. asked_ms: the receiver's request; see `asked_pause_ms`.
    """
    if now_ms >= give_up_at_ms:
        return 0
    pause_ms = min(_FIRST_MS * _FACTOR ** min(tries - 1, 20), LONGEST_MS) * (1 - _JITTER + 2 * _JITTER * chance)
    return min(now_ms + max(int(pause_ms), asked_ms), give_up_at_ms)


def asked_pause_ms(retry_after: str, now_ms: int, /) -> int:
    """The pause that a Retry-After header asks for, as seconds or as a date, but at most an hour; 0 if there is none.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        asked_ms = int(text[:10]) * 1000
    else:
        try:
            moment = parsedate_to_datetime(text)
            asked_ms = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000) - now_ms
        except (ValueError, TypeError, OverflowError):
            return 0
    return max(0, min(asked_ms, _LONGEST_ASKED_MS))
