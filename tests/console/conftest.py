from collections.abc import Iterator

import pytest

from tests.console.browser import Browser, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        browser("size", width=1280)
        yield browser
