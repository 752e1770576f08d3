"""Which files `make test PART=1/2` runs: every second one, so that each part has its share of the longest, which come first."""

from collections.abc import Collection, Iterable


def of_part(part: str, files: Iterable[str], /) -> Collection[str]:
    """part: its number and how many there are. Raises ValueError if it is not."""
    number, _, count = (int(each) if each.isdecimal() else 0 for each in part.partition("/"))
    if not 1 <= number <= count:
        raise ValueError(f"PART={part}: expected the number of a part and how many there are, such as 1/2.")
    return {*list(files)[number - 1 :: count]}
