"""Dagster's web server, which also shows the page of an import's report and figures for monitoring.

At ``/reports/<import id>`` and ``/metrics``.

``python -m engage_etl.triggers.web_server`` takes the arguments of ``dagster-webserver``.
"""

from __future__ import annotations

from typing import Any

import dagster_webserver.app
from dagster_webserver.cli import main
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from engage_etl.reports.page_file import page_of
from engage_etl.settings import load_settings
from engage_etl.store.engine import open_store

_HEADERS = {
    # The page brings all that it needs; what a file name or a message may hold can do nothing in it.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class EngageWebserver(DagsterWebserver):
    """The web server with one page more."""

    def build_routes(self) -> list[BaseRoute]:
        """Ours first: Dagster's last route takes every path."""
        own = [Route("/reports/{import_id:str}", _report), Route("/metrics", _metrics)]
        return [*own, *super().build_routes()]


async def _report(request: Request) -> Response:
    """The page of a report, in which personal data is masked (R41); clear values stay in files of their owner."""
    import_id = request.path_params["import_id"]
    page = page_of(load_settings(), import_id)
    if page is None:
        return PlainTextResponse(f"There is no report of an import {import_id!a}.", status_code=404, headers=_HEADERS)
    return FileResponse(page, media_type="text/html", headers=_HEADERS)


def _metrics(_: Request) -> Response:
    """Figures of all imports, for monitoring; Starlette runs it in a thread, since it asks the store."""
    from engage_etl.reports.metrics import CONTENT_TYPE, metrics

    with open_store(load_settings()) as store, store.engine.connect() as connection:
        return Response(metrics(connection), media_type=CONTENT_TYPE)


def serve() -> Any:
    """Run Dagster's command with our web server in it."""
    vars(dagster_webserver.app)["DagsterWebserver"] = EngageWebserver
    return main()


if __name__ == "__main__":
    serve()
