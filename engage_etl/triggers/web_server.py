"""Dagster's web server, which also shows the page of an import's report, figures for monitoring, and where to approve a plan.

At ``/reports/<import id>``, ``/metrics`` and ``/approve/<import id>/<plan hash>``.

``python -m engage_etl.triggers.web_server`` takes the arguments of ``dagster-webserver``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dagster_webserver.app
from dagster_webserver.cli import main
from dagster_webserver.webserver import DagsterWebserver
from graphql import ASTValidationRule, GraphQLError, OperationDefinitionNode, OperationType
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engage_etl.errors import SourceUnavailable, StoreError
from engage_etl.own_files import keep_files_private
from engage_etl.reports.page_file import page_of
from engage_etl.settings import load_settings
from engage_etl.store.engine import open_store
from engage_etl.store.outages import OUTAGES, outage
from engage_etl.store.sessions import TimeLimits
from engage_etl.triggers.approving import launchpad_address
from engage_etl.triggers.web_guard import WebGuard

_HEADERS = {
    # The page brings all that it needs; what a file name or a message may hold can do nothing in it.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
# Beside what Dagster says about scripts, which are allowed one by one. Nothing comes from elsewhere, nothing goes there.
_FROM_HERE_ONLY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "form-action 'none'; frame-ancestors 'none'; "
)


class EngageWebserver(DagsterWebserver):
    """The web server with a few pages more, and with a guard before all of them."""

    def build_middleware(self) -> list[Middleware]:
        """Ours first: what it refuses, nobody else sees."""
        guard = Middleware(WebGuard, settings=load_settings(), is_read_only=self._process_context.read_only)
        return [guard, *super().build_middleware()]

    def build_graphql_validation_rules(self) -> Collection[type[ASTValidationRule]]:
        """With ``--read-only`` no mutation at all: Dagster refuses most of them one by one, and not all."""
        more = [NoMutations] if self._process_context.read_only else []
        return [*super().build_graphql_validation_rules(), *more]

    def make_csp_header(self, nonce: str) -> str:
        """What the pages of the UI may load and where they may be shown."""
        return _FROM_HERE_ONLY + super().make_csp_header(nonce)

    def make_security_headers(self) -> dict[str, str]:
        """Without what the guard says more strictly, of all answers."""
        return {"Cache-Control": "no-store"}

    def build_routes(self) -> list[BaseRoute]:
        """Ours first: Dagster's last route takes every path."""
        own = [
            Route("/reports/{import_id:str}", _report),
            Route("/approve/{import_id:str}/{plan_hash:str}", _approve),
            Route("/metrics", _metrics),
        ]
        return [*own, *super().build_routes()]


class NoMutations(ASTValidationRule):
    """A rule for GraphQL: documents ask, and change nothing."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        """Refuse a mutation, whatever it is called."""
        if node.operation is OperationType.MUTATION:
            self.report_error(GraphQLError("This web UI is for looking only (--read-only); nothing was done.", node))


def _report(request: Request) -> Response:
    """The page of a report, in which personal data is masked (R41); clear values stay in files of their owner.

    Starlette runs it in a thread, since a bucket may be asked for the page.
    """
    import_id = request.path_params["import_id"]
    try:
        page = page_of(load_settings(), import_id)
    except SourceUnavailable as error:
        return PlainTextResponse(str(error), status_code=503, headers=_HEADERS)
    if page is None:
        return PlainTextResponse(f"There is no report of an import {import_id!a}.", status_code=404, headers=_HEADERS)
    return HTMLResponse(page, headers=_HEADERS)


async def _approve(request: Request) -> Response:
    """The launchpad of ``apply_plan``, filled in for a plan; to open it approves nothing (R35)."""
    launchpad = launchpad_address(request.path_params["import_id"], request.path_params["plan_hash"])
    if launchpad is None:
        return PlainTextResponse("That is no hash of a plan.", status_code=404, headers=_HEADERS)
    return RedirectResponse(launchpad)


def _metrics(_: Request) -> Response:
    """Figures of all imports, for monitoring; Starlette runs it in a thread, since it asks the store."""
    from engage_etl.reports.metrics import CONTENT_TYPE, metrics

    settings = load_settings()
    try:
        with open_store(settings, TimeLimits.of_looking(settings)) as store, store.engine.connect() as connection:
            return Response(metrics(connection), media_type=CONTENT_TYPE)
    except StoreError as error:
        return PlainTextResponse(f"{error}\n", status_code=503)
    except OUTAGES as error:
        return PlainTextResponse(f"{outage(error, settings, 'ask again')}\n", status_code=503)


def serve() -> Any:
    """Run Dagster's command with our web server in it."""
    keep_files_private()
    vars(dagster_webserver.app)["DagsterWebserver"] = EngageWebserver
    return main()


if __name__ == "__main__":
    serve()
