"""The console as its own page calls it, without a browser: what a browser would send, and the cookies that it keeps."""

from typing import Any

import httpx

SAME = {"Sec-Fetch-Site": "same-origin"}
CHANGE = {**SAME, "Content-Type": "application/json", "X-Headrace-Console": "1"}


class Page(httpx.Client):
    """A browser with the console open. Every reply is held to the fence: nothing of it may be read by another origin."""

    def __init__(self, url: str, **headers: str) -> None:
        super().__init__(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        response = super().send(request, **options)
        assert not [name for name in response.headers if name.startswith("access-control-")], response.headers
        return response

    def ask(self, path: str, **options: Any) -> httpx.Response:
        return self.get(path, **{"headers": SAME | options.pop("headers", {})} | options)

    def change(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = CHANGE | options.pop("headers", {})
        return self.request(method, path, headers=headers, content=None if body is None else _json(body), **options)

    def log_in(self, key: str) -> httpx.Response:
        return self.change("POST", "/console/api/session", {"key": key})


def _json(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


def of(project: str, mode: str = "live") -> dict[str, str]:
    """The headers that name the project and mode in use."""
    return {"Headrace-Project": project, "Headrace-Mode": mode}
