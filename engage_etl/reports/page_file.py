"""Where the page of a report lies; apart from what writes it, so that the web server loads neither store nor templates."""

from __future__ import annotations

import re
from contextlib import closing

from engage_etl.settings import Settings
from engage_etl.stage_storage.kept_files import open_kept_files, report_dir

PAGE = "report.html"
_IMPORT_ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def page_of(settings: Settings, import_id: str) -> bytes | None:
    """The page of an import's report; None if there is none, or if the id cannot be that of an import.

    Raises:
        SourceUnavailable: the storage does not answer.
    """
    if not _IMPORT_ID.fullmatch(import_id):
        return None
    with closing(open_kept_files(settings)) as kept:
        page = kept.fetched(report_dir(kept, import_id) / PAGE)
        return page.read_bytes() if page.is_file() else None


def page_address(import_id: str) -> str:
    """The path under which the web server shows the page."""
    return f"/reports/{import_id}"
