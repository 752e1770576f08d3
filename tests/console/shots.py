"""`make console-shots`: every screen in each of its states, at three widths, light and dark, on one sheet: console-shots/index.html.

With arguments, only screens whose name has one of them in it. `--readme` also takes the README's picture, docs/assets/console.png.
"""

import html
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.console.browser import Browser, chromium
from tests.console.shop import fill, visit
from tests.console.test_screens import log_in
from tests.console.views import SAID, VIEWS, add_key, come, find_again, lose
from tests.server import Server

OUT = Path("console-shots")
PICTURE = Path("docs/assets/console.png")
SIZES = ((1280, 900), (768, 900), (390, 844))
THEMES = ("light", "dark")
PICTURED_S = 62.0  # the whole minute that Live shows


def take(browser: Browser, name: str) -> Iterator[str]:
    """What the page shows, at each width and in both themes."""
    for theme in THEMES:
        browser("theme", theme=theme)
        for width, height in SIZES:
            browser("size", width=width, height=height)
            path = OUT / f"{name}-{width}-{theme}.png"
            browser("shot", path=str(path.absolute()))
            yield path.name
    browser("size", width=1280)


def states(browser: Browser, screen: str) -> Iterator[str]:
    """The screen in each of its states."""
    view, name = VIEWS[screen], screen.partition("?")[0].replace("/", "-").replace("%2E", ".")
    forbidden = "This needs the scope 'admin': run `headrace keys create`."
    come(browser, screen)
    browser("see", text=view.shows)
    browser("settle")
    yield from take(browser, f"{name}-full")
    if view.empty:
        come(browser, screen, "states-empty")
        browser("see", text=view.empty)
        browser("settle")
        yield from take(browser, f"{name}-empty")
    come(browser, screen, does="hold")
    browser("see_element", selector="main [aria-busy]")
    browser("evaluate", script="new Promise(done => setTimeout(done, 300))")  # the skeleton waits a little
    yield from take(browser, f"{name}-loading")
    if screen == "people":  # the others say it by the same part
        none: dict[str, object] = {"data": [], "meta": {"next_cursor": None}}
        headers = {"Headrace-Stale": "true", "Headrace-Complete-Until": "2026-11-30T08:21:09.659Z"}
        come(browser, screen, status=200, body=none, headers=headers)
        browser("see", text="the last events may be missing")
        yield from take(browser, f"{name}-stale")
    come(browser, screen, status=503, detail=SAID, headers={"Retry-After": "60"})
    browser("see", text=SAID)
    yield from take(browser, f"{name}-error")
    come(browser, screen, status=403, detail=forbidden)
    browser("see", text="You may not see this")
    yield from take(browser, f"{name}-forbidden")
    come(browser, screen)
    browser("see", text=view.shows)
    lose(browser)
    yield from take(browser, f"{name}-lost")
    find_again(browser)


def more(browser: Browser, url: str) -> Iterator[str]:
    """Views beside the screens: an event beside the list, a run, a delivery, a review of rules, dialogs."""
    browser("intercept")
    browser("go", url=f"{url}/console/states/live/live")
    browser("click", on=".rows .name a")
    browser("see", text="Deduplicated")
    yield from take(browser, "event-beside")
    browser("visit", path="/console/states/live/journeys/thanks")
    browser("click", on="main tbody td a[href*='run=']")
    browser("see", text="Began")
    yield from take(browser, "run")
    browser("visit", path="/console/states/live/webhooks/rewards")
    browser("click", on="Send a test")
    browser("see", text="No answer")
    yield from take(browser, "delivery")
    browser("visit", path="/console/states/live/rules")
    browser("write", host="main .editor", text="badges: [{id: first, title: First, fact: custom.signup, count: 1}]")
    browser("see", text="What applying this means")
    yield from take(browser, "rules-written")
    browser("click", on="Review and apply")
    browser("see", text="events would cause")
    yield from take(browser, "rules-review")
    browser("press", key="Escape")
    browser("visit", path="/console/states/live/people/user_1")
    browser("click", on="Erase…")
    browser("see", text="This removes for good")
    yield from take(browser, "erase")
    browser("press", key="Escape")
    browser("visit", path="/console/states/live/explore?previous=1&by=properties.country&interval=1d&range=7d")
    browser("see", text="previous period")
    yield from take(browser, "explore-previous")
    browser("visit", path="/console/states/live/keys")
    browser("click", on="Revoke")
    browser("see", text="in the last hour")
    yield from take(browser, "revoke")
    browser("press", key="Escape")
    browser("click", on="Create a key")
    browser("settle")
    yield from take(browser, "create-key")
    browser("press", key="Escape")
    browser("click", on="header button.primary::-p-text(Send)")
    browser("settle")
    yield from take(browser, "send")


def picture(browser: Browser, server: Server) -> None:
    """The README's: a shop on a busy day, and what became of an order."""
    key = fill(server, "shop")
    add_key(browser, key)
    browser("theme", theme="light")
    browser("size", width=1180, height=720)
    browser("go", url=f"{server.url}/console/shop/live/live")
    browser("see", text="watching")
    with server.client(key) as client:
        visit(client, seconds=PICTURED_S)
    browser("click", on=".rows .name a::-p-text(order.placed)")
    browser("see", text="Deduplicated")
    browser("settle")
    browser("shot", path=str(PICTURE.absolute()))


def main(given: list[str]) -> None:
    only = [each for each in given if not each.startswith("--")]
    OUT.mkdir(exist_ok=True)
    server = Server(Path(tempfile.mkdtemp())).start()
    shots: list[str] = []
    try:
        with chromium() as browser:
            browser("size", width=1280)
            browser("go", url=f"{server.url}/console")
            browser("see", text="Open the console")
            if not only:
                shots += take(browser, "login")
            log_in(browser, server, fill(server, "states"))
            add_key(browser, server.key("states-empty"))
            if "--readme" in given:
                picture(browser, server)
            for screen in VIEWS:
                if not only or any(each in screen for each in only):
                    shots += states(browser, screen)
            if not only or "more" in only:
                shots += more(browser, server.url)
    finally:
        server.kill()
    cells = "".join(
        f'<figure><img src="{html.escape(each)}" loading="lazy"><figcaption>{html.escape(each)}</figcaption></figure>'
        for each in shots
    )
    style = "body{display:flex;flex-wrap:wrap;gap:12px;font:12px sans-serif}img{height:360px;border:1px solid #999}figure{margin:0}"
    (OUT / "index.html").write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{cells}")
    print(f"{len(shots)} pictures: {OUT / 'index.html'}")


if __name__ == "__main__":
    main(sys.argv[1:])
