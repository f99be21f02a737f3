"""What pages of other sites send to the web server is refused, and answers tell browsers to be strict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from engage_etl.settings import Settings
from engage_etl.triggers.web_guard import WebGuard

JSON = {"content-type": "application/json"}
HERE = {"host": "127.0.0.1:3000"}
PROXIED = Settings(web_url="https://etl.example.com", web_hosts="metrics.internal Etl-Web")


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the guard."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    elif scope["path"] == "/own":
        await PlainTextResponse("", headers={"Content-Security-Policy": "sandbox"})(scope, receive, send)
    else:
        await HTMLResponse("")(scope, receive, send)


def ask(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    method: str = "GET",
    path: str = "/",
    kind: str = "http",
    settings: Settings | None = None,
    is_read_only: bool = False,
) -> list[dict[str, Any]]:
    """The messages that a request is answered with."""
    answer: list[dict[str, Any]] = []
    given = headers.items() if isinstance(headers, dict) else headers
    scope = {
        "type": kind,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given],
        **({"method": method} if kind == "http" else {}),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        answer.append(message)

    asyncio.run(WebGuard(page, settings or Settings(), is_read_only=is_read_only)(scope, receive, send))
    return answer


def is_passed_on(*given: Any, **more: Any) -> bool:
    first = ask(*given, **more)[0]
    return bool(first.get("status") == 200 or first["type"] == "websocket.accept")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:3000", "10.1.2.3", "10.1.2.3:80"]
)
def test_this_machine_and_addresses_in_numbers_are_answered(host: str) -> None:
    assert is_passed_on({"host": host})


@pytest.mark.parametrize("host", ["etl.example.com", "ETL.example.com", "metrics.internal:3000", "etl-web"])
def test_names_of_the_settings_are_answered(host: str) -> None:
    assert is_passed_on({"host": host}, settings=PROXIED)
    assert not is_passed_on({"host": host})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:3000", "evil.example#127.0.0.1", "[::1", ""],
)
def test_a_name_that_somebody_made_lead_here_is_refused(host: str) -> None:
    """DNS rebinding: to the browser it is the same site, and it would see the answers."""
    for settings in (None, PROXIED):
        assert not is_passed_on({"host": host}, settings=settings)
        assert not is_passed_on({"host": host, **JSON}, method="POST", path="/graphql", settings=settings)
        assert not is_passed_on({"host": host}, kind="websocket", path="/graphql", settings=settings)


def test_a_request_with_no_name_or_two_is_refused() -> None:
    assert not is_passed_on({})
    assert not is_passed_on([("host", "127.0.0.1"), ("host", "evil.example")])


def test_a_refusal_says_what_to_set() -> None:
    [start, body] = ask({"host": "etl.example.com"})
    assert start["status"] == 403
    assert b"'etl.example.com'" in body["body"] and b"ENGAGE_WEB_URL" in body["body"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1:8000",
        "http://localhost:3000",
        "http://[",
        "127.0.0.1:3000",
    ],
)
def test_what_a_page_of_another_site_sends_is_refused(origin: str) -> None:
    asked = {**HERE, **JSON, "origin": origin}
    assert not is_passed_on(asked, method="POST", path="/graphql")
    assert not is_passed_on(asked, method="GET")
    assert not is_passed_on({**HERE, "origin": origin}, kind="websocket", path="/graphql")


def test_what_our_own_pages_send_is_passed_on() -> None:
    own = {**HERE, "origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}
    assert is_passed_on({**own, **JSON}, method="POST", path="/graphql")
    assert is_passed_on(own, kind="websocket", path="/graphql")
    proxied = {"host": "etl.example.com", "origin": "https://etl.example.com", "sec-fetch-site": "same-origin"}
    assert is_passed_on({**proxied, **JSON}, method="POST", path="/graphql", settings=PROXIED)
    # A proxy that does not pass the name on.
    assert is_passed_on({**proxied, **JSON, **HERE}, method="POST", path="/graphql", settings=PROXIED)


def test_programs_that_say_nothing_of_a_site_are_answered() -> None:
    assert is_passed_on({**HERE, **JSON}, method="POST", path="/graphql")
    assert is_passed_on({**HERE, "content-type": "application/json; charset=utf-8"}, method="POST", path="/graphql")
    assert is_passed_on(HERE, path="/metrics")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_of_another_site_leads_here_and_nothing_else_is_loaded_by_it(site: str) -> None:
    assert is_passed_on({**HERE, "sec-fetch-site": site, "sec-fetch-mode": "navigate"}, path="/runs")
    assert not is_passed_on({**HERE, "sec-fetch-site": site, "sec-fetch-mode": "no-cors"}, path="/metrics")
    assert not is_passed_on(
        {**HERE, **JSON, "sec-fetch-site": site, "sec-fetch-mode": "navigate"}, method="POST", path="/graphql"
    )


@pytest.mark.parametrize("content", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=1", ""])
def test_what_a_form_could_send_is_refused(content: str) -> None:
    """Dagster takes a query from the address then, and executes it."""
    sent = {**HERE, "content-type": content} if content else HERE
    assert not is_passed_on(sent, method="POST", path="/graphql")
    assert not is_passed_on(sent, method="POST", path="/report_asset_materialization/raw_file")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_a_picture_could_ask_is_refused(method: str) -> None:
    assert not is_passed_on({**HERE, "accept": "image/*"}, method=method, path="/graphql")
    assert is_passed_on({**HERE, "accept": "text/html"}, path="/graphql")  # the page GraphiQL, which asks with POST


def test_a_server_for_viewers_is_sent_questions_only() -> None:
    assert is_passed_on({**HERE, **JSON}, method="POST", path="/graphql", is_read_only=True)
    for path in ("/report_asset_materialization/raw_file", "/report_asset_check/raw_file", "/"):
        assert not is_passed_on({**HERE, **JSON}, method="POST", path=path, is_read_only=True)
        assert is_passed_on({**HERE, **JSON}, method="POST", path=path)


def test_answers_tell_browsers_to_be_strict() -> None:
    for start in (ask(HERE)[0], ask({"host": "evil.example"})[0], ask(HERE, path="/own")[0]):
        headers = Headers(raw=start["headers"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'self'" in Headers(raw=ask(HERE)[0]["headers"])["content-security-policy"]
    assert Headers(raw=ask(HERE, path="/own")[0]["headers"])["content-security-policy"] == "sandbox"
