"""The report of an import without one person: their lines stay, so that the counts still add up, and say nothing."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from engage_etl.erasure.person import Person
from engage_etl.erasure.stage_rows import ERASED_ROW
from engage_etl.reports.changes_file import CHANGES_HEADER
from engage_etl.reports.page_file import PAGE
from engage_etl.reports.private_files import private_text_file
from engage_etl.reports.revert_report import DETAILS_HEADER
from engage_etl.reports.row_files import ADDED_COLUMNS, ROW_FILES
from engage_etl.store.imports import ImportFile
from engage_etl.vocabulary.file_format import unfit_bytes_kept

_BYTE_ORDER_MARK = "\ufeff"
_ADDED = len(ADDED_COLUMNS)
Cells = list[str]


def find_report_rows(folder: Path, record: ImportFile | None, person: Person) -> set[int]:
    """Numbers of rejected and skipped rows whose original cells name the person."""
    found: set[int] = set()
    for file in _row_files(folder):
        with _opened(file, record) as reading:
            for _, cells in _records(reading, _separator(record)):
                if len(cells) >= _ADDED and cells[-_ADDED].isdigit() and person.is_named_in("\n".join(cells[:-_ADDED])):
                    found.add(int(cells[-_ADDED]))
    return found


def erase_report_lines(
    folder: Path, record: ImportFile | None, person: Person, rows: Collection[int], *, dry_run: bool
) -> int:
    """Blank the lines about these rows or this contact, and take the person out of other messages.

    Each file is written aside and put in place. Returns how many lines were changed.
    """
    changed = 0
    for file in _row_files(folder):
        edit = _RowEdit(person, rows)
        changed += _rewrite(file, record, _separator(record), edit, dry_run=dry_run)
    for name, header in (("changes.csv", CHANGES_HEADER), ("not_restored.csv", DETAILS_HEADER)):
        if (folder / name).exists():
            changed += _rewrite(folder / name, None, ",", _ChangeEdit(person, rows, header), dry_run=dry_run)
    if (folder / PAGE).exists():
        changed += _edit_page(folder / PAGE, person, dry_run=dry_run)
    summary = folder / "summary.json"
    if summary.exists():
        changed += _rewrite_summary(summary, person, dry_run=dry_run)
    return changed


class _RowEdit:
    """What a line of ``rejected.csv`` or ``skipped.csv`` becomes; None: it stays."""

    def __init__(self, person: Person, rows: Collection[int]) -> None:
        self._person, self._rows = person, {str(row) for row in rows}

    def __call__(self, cells: Cells) -> Cells | None:
        if len(cells) < _ADDED or not cells[-_ADDED].isdigit():
            return None
        row, reason, message = cells[-_ADDED:]
        if row in self._rows:
            blanked = [*[""] * (len(cells) - _ADDED), row, reason, ERASED_ROW]
            return blanked if blanked != cells else None
        told = self._person.without(message)
        return [*cells[:-1], told] if told != message else None


class _ChangeEdit:
    """What a line of ``changes.csv`` or ``not_restored.csv`` becomes; None: it stays.

    Both begin with row, contact and field, and the rest may be theirs, but for ``result``.
    """

    def __init__(self, person: Person, rows: Collection[int], header: tuple[str, ...]) -> None:
        self._person, self._rows, self._header = person, {str(row) for row in rows}, header

    def __call__(self, cells: Cells) -> Cells | None:
        if len(cells) != len(self._header) or cells == list(self._header):
            return None
        row, contact_id, field, *values = cells
        is_theirs = contact_id == str(self._person.contact_id) or (not contact_id and row in self._rows)
        is_named = any(value in self._person.spellings.get(field, ()) for value in values)
        told = zip(self._header[3:], values, strict=True)
        blanked = [row, contact_id, field, *(value if name == "result" else "" for name, value in told)]
        return blanked if (is_theirs or is_named) and blanked != cells else None


def _row_files(folder: Path) -> list[Path]:
    return [folder / name for name in ROW_FILES.values() if (folder / name).exists()]


def _separator(record: ImportFile | None) -> str:
    return (record.separator if record is not None else None) or ","


def _opened(file: Path, record: ImportFile | None) -> TextIO:
    """Open a report file in the encoding that it was written in: that of the source, or UTF-8 (R39)."""
    for character_set in (record.character_set, "utf-8") if record is not None else ():
        reading = file.open(encoding=character_set, errors=unfit_bytes_kept(character_set), newline="")
        try:
            if _is_header(reading.readline(), _separator(record)):
                reading.seek(0)
                return reading
        except UnicodeError:
            pass  # it was written in the other one
        reading.close()
    return file.open(encoding="utf-8", errors="surrogateescape", newline="")


def _is_header(line: str, separator: str) -> bool:
    """Whether a line is the end of the header, which may have line breaks in its cells."""
    return line.rstrip("\r\n").endswith(separator.join(ADDED_COLUMNS)) or (ADDED_COLUMNS[0] not in line and '"' in line)


def _records(reading: TextIO, separator: str) -> Iterator[tuple[str, Cells]]:
    """Each record as it stands in the file, and its cells."""
    csv.field_size_limit(2**31 - 1)
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in reading:
            taken.append(line)
            yield line

    for cells in csv.reader(noted(), delimiter=separator):
        yield "".join(taken), cells
        taken.clear()


def _rewrite(
    file: Path,
    record: ImportFile | None,
    separator: str,
    edit: Callable[[Cells], Cells | None],
    *,
    dry_run: bool,
) -> int:
    """Write the file anew if a record changes; the others are written back as they stood."""
    aside, changed = file.with_name(f".{file.name}.part"), 0
    with ExitStack() as stack:
        reading = stack.enter_context(_opened(file, record))
        written = private_text_file(aside, character_set=reading.encoding, errors=str(reading.errors))
        writing = None if dry_run else stack.enter_context(written)
        for text, cells in _records(reading, separator):
            edited = edit(cells)
            changed += edited is not None
            if writing is not None:
                writing.write(text if edited is None else _as_line(edited, separator, text))
    if not dry_run:
        if changed:
            aside.replace(file)
        aside.unlink(missing_ok=True)
    return changed


def _as_line(cells: Cells, separator: str, like: str) -> str:
    line = io.StringIO()
    end = "\r\n" if like.endswith("\r\n") else "\n"
    csv.writer(line, delimiter=separator, lineterminator=end).writerow(cells)
    return line.getvalue()


def _edit_page(file: Path, person: Person, *, dry_run: bool) -> int:
    """The page shows masked values; identifiers that messages name are not. Where they stay, the page goes."""
    text = file.read_text(encoding="utf-8")
    told = person.without(text)
    names_them = person.is_named_in(html.unescape(told))
    if told == text and not names_them:
        return 0
    if not dry_run:
        if names_them:
            file.unlink()
        else:
            _replace(file, told)
    return 1


def _replace(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}.part")
    with private_text_file(aside) as writing:
        writing.write(text)
    aside.replace(file)


def _rewrite_summary(file: Path, person: Person, *, dry_run: bool) -> int:
    """Errors and warnings in the summary are sentences, too."""
    found = json.loads(file.read_text(encoding="utf-8"))
    edited = dict(found)
    edited["warnings"] = [person.without(warning) for warning in found["warnings"]]
    if found["error"] is not None:
        edited["error"] = found["error"] | {"message": person.without(found["error"]["message"])}
    if edited == found:
        return 0
    if not dry_run:
        _replace(file, json.dumps(edited, ensure_ascii=False, indent=2) + "\n")
    return 1
