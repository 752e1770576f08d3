"""`make console-shots`: every screen at three widths, light and dark, and some states, on one sheet: console-shots/index.html."""

import html
import sys
import tempfile
from pathlib import Path

from tests.console.browser import Browser, chromium
from tests.console.shop import fill
from tests.console.test_screens import SCREENS, log_in
from tests.server import Server

OUT = Path("console-shots")
SIZES = ((1280, 900), (768, 900), (390, 844))


def take(browser: Browser, name: str, theme: str, width: int, height: int) -> str:
    browser("size", width=width, height=height)
    browser("theme", theme=theme)
    browser("settle")
    path = OUT / f"{name}-{width}-{theme}.png"
    browser("shot", path=str(path.absolute()))
    return path.name


def main(only: list[str]) -> None:
    OUT.mkdir(exist_ok=True)
    server = Server(Path(tempfile.mkdtemp())).start()
    shots: list[str] = []
    try:
        key, empty, reader = fill(server), server.key("empty"), server.key("empty", scopes=frozenset({"query"}))
        with chromium() as browser:
            browser("size", width=1280)
            browser("go", url=f"{server.url}/console")
            browser("see", text="Open the console")
            shots += [take(browser, "login", theme, *SIZES[0]) for theme in ("light", "dark")]
            for project, secret, screens in (
                ("shop", key, SCREENS),
                (
                    "empty",
                    empty,
                    {
                        "live": "Waiting",
                        "rules": "No rules yet",
                        "explore": "Nothing in this range",
                        "people": "Nobody yet",
                    },
                ),
                ("empty", reader, {"rules": "You may not see this"}),
            ):
                log_in(browser, server, secret)
                for screen, title in screens.items():
                    if only and not any(each in screen for each in only):
                        continue
                    browser("size", width=1280)
                    browser("go", url=f"{server.url}/console/{project}/live/{screen}")
                    browser("see", text=title)
                    name = f"{project if secret != reader else 'reader'}-{screen.replace('/', '-').replace('%2E', '.')}"
                    for theme in ("light", "dark"):
                        shots += [take(browser, name, theme, *size) for size in SIZES]
                if project == "shop":
                    browser("size", width=1280)
                    browser("go", url=f"{server.url}/console/shop/live/live")
                    browser("see", text="order.placed")
                    browser("click", on=".rows .name a")
                    browser("see", text="Deduplicated")
                    shots += [
                        take(browser, "shop-event", theme, *size) for theme in ("light", "dark") for size in SIZES
                    ]
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
