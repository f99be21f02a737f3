"""What stands before every page of the web server: whom it answers, and what browsers may do with an answer.

The web server has no passwords. On the loopback interface it is reached by every program of the machine, and so by the
pages of strangers in the browser of somebody who sits there: such a page sends a request and need not see the answer, and
Dagster executes a mutation that stands in the address, whatever the method, the type of the content and the sender. A page
whose name is made to lead to 127.0.0.1 (DNS rebinding) sees the answers too. Both are refused here.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engage_etl.settings import Settings

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEVER_SENT_UNASKED = frozenset({"application/json", "application/graphql"})
"""Types of content for which a browser asks first whether another site may send them; nobody here says yes."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_NOT_IN_FRAMES = "frame-ancestors 'none'"
_GRAPHIQL = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; base-uri 'none'; form-action 'none'; object-src 'none'; " + _NOT_IN_FRAMES
)
"""For pages that say nothing themselves: Dagster's GraphiQL, with its script in the page."""


class WebGuard:
    """ASGI middleware that refuses what other sites send, and tells browsers to be strict with what we answer.

    is_read_only: nothing is sent to this server but questions.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, is_read_only: bool) -> None:
        self._app, self._is_read_only = app, is_read_only
        self._web_address = _address(settings.web_url)
        self._names = {_name(self._web_address), *settings.web_hosts.lower().split()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with a sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _strict(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, _strict(send))

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is not answered, or None."""
        headers = Headers(scope=scope)
        method = scope.get("method", "GET")
        return (
            self._wrong_host(headers)
            or self._wrong_site(headers, method)
            or _wrong_content(scope, headers, method)
            or self._would_change(scope, method)
        )

    def _wrong_host(self, headers: Headers) -> str | None:
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._is_ours(_name(hosts[0].lower())):
            return None
        return (
            f"This server is not asked by the name {', '.join(hosts)!a}. If people reach it by that name, set ENGAGE_WEB_URL "
            "to their address, or add the name to ENGAGE_WEB_HOSTS, and start it again.\n"
        )

    def _is_ours(self, name: str) -> bool:
        """A name that strangers cannot make lead here: an address in numbers, this machine, or one from the settings."""
        with suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return name == "localhost" or name in self._names

    def _wrong_site(self, headers: Headers, method: str) -> str | None:
        """Browsers say with a request from which site it comes; programs such as curl say nothing."""
        origins = headers.getlist("origin")
        ours = {headers["host"].lower(), self._web_address}
        is_own_page = all(_address(origin) in ours for origin in origins)
        is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        came_from = headers.get("sec-fetch-site", "none")
        if is_own_page and (is_link or came_from in ("none", "same-origin")):
            return None
        return (
            f"This request comes from a page of another site ({', '.join(origins) or came_from!a}) and is refused. If people "
            "reach this server at that address, set ENGAGE_WEB_URL to it, and start it again.\n"
        )

    def _would_change(self, scope: Scope, method: str) -> str | None:
        if not self._is_read_only or method in _READS or scope["path"].endswith("/graphql"):
            return None
        return "This server is for looking only (--read-only); nothing can be sent to it.\n"


def _wrong_content(scope: Scope, headers: Headers, method: str) -> str | None:
    """What a form, a picture or a link of another site could send: older browsers do not say where it comes from."""
    if scope["type"] == "websocket":
        return None
    if method in _READS:
        asks = scope["path"].endswith("/graphql") and "text/html" not in headers.get("accept", "")
        return "Send queries with POST, as application/json.\n" if asks else None
    if headers.get("content-type", "").partition(";")[0].strip().lower() in _NEVER_SENT_UNASKED:
        return None
    return "Send this with the header Content-Type: application/json.\n"


def _address(url: str) -> str:
    """``host:port`` of an address, as it stands there; blank if it is none, as the origin ``null``."""
    with suppress(ValueError):
        return urlsplit(url).netloc.lower()
    return ""


def _name(address: str) -> str:
    """The host of ``host:port``, without the brackets of IPv6."""
    with suppress(ValueError):
        return urlsplit(f"//{address}").hostname or ""
    return ""


def _strict(send: Send) -> Send:
    """Add the headers that a response does not have of its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            is_page = headers.get("content-type", "").startswith("text/html")
            headers.setdefault("Content-Security-Policy", _GRAPHIQL if is_page else _NOT_IN_FRAMES)
        await send(message)

    return sending
