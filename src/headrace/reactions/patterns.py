"""Names, and beginnings of names with a `*`: which of them match. Pure."""


def matches(pattern: str, text: str, /) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def overlap(one: str, other: str, /) -> bool:
    """Whether some text matches both patterns."""
    if one.endswith("*") and other.endswith("*"):
        return one.startswith(other[:-1]) or other.startswith(one[:-1])
    return matches(one, other) if one.endswith("*") else matches(other, one)


def pattern_problem(pattern: str, /) -> str:
    """What is wrong with a pattern, or ""."""
    return "'*' is only allowed at the end" if "*" in pattern[:-1] else ""
