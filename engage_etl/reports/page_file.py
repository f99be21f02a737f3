"""Where the page of a report lies; apart from what writes it, so that the web server loads neither store nor templates."""

from __future__ import annotations

import re
from pathlib import Path

from engage_etl.settings import Settings

PAGE = "report.html"
_IMPORT_ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def page_of(settings: Settings, import_id: str) -> Path | None:
    """The page of an import's report; None if there is none, or if the id cannot be that of an import."""
    if not _IMPORT_ID.fullmatch(import_id):
        return None
    page = settings.report_dir(import_id) / PAGE
    return page if page.is_file() else None


def page_address(import_id: str) -> str:
    """The path under which the web server shows the page."""
    return f"/reports/{import_id}"
