"""What is measured, from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files import FORMATS
from benchmarks.workload import TITLES, Workload

DEFAULT_SIZES = (10_000, 100_000)
NOTHING = "nothing"
"""In place of programs: only what other options ask for (``--only nothing --growth 100000``)."""

XML_FROM = 100_000
"""Rows from which on XML is measured too."""


@dataclass(frozen=True)
class Options:
    """One run.

    folder: of everything; only: short names of programs; repeat: times that each is measured; peers_up_to: rows up to which
    peers are measured, None: as far as is bearable; keep: leave server and filled databases for the next run; statements:
    milliseconds from which on they are listed; growth, writer_wait, revert: rows with which this is measured too, None:
    not; growth_pause: seconds between its imports.
    """

    folder: Path
    workloads: tuple[str, ...]
    rows: tuple[int, ...]
    formats: tuple[str, ...]
    only: tuple[str, ...]
    repeat: int
    peers_up_to: int | None
    keep: bool
    statements: float | None
    growth: int | None
    growth_pause: float
    writer_wait: int | None
    revert: int | None

    def files(self) -> list[tuple[Workload, str]]:
        """The files to measure, with their format, smaller ones first."""
        return [
            (Workload(name, rows), file_format)
            for rows in self.rows
            for name in self.workloads
            for file_format in self.formats
            if file_format == "csv" or rows >= XML_FROM or self.formats == ("xml",)
        ]


def read_options(arguments: Sequence[str] | None, programs: Sequence[str]) -> Options:
    """Read the command line; what does not fit ends the program with a sentence. programs: that can be measured."""
    parser = _parser(programs)
    given = parser.parse_args(arguments)
    for name, known in (("workloads", TITLES), ("formats", FORMATS), ("only", (*programs, NOTHING))):
        setattr(given, name, _words(parser, getattr(given, name), tuple(known)))
    try:
        for rows in (*given.rows, *filter(None, (given.growth, given.writer_wait, given.revert))):
            Workload("A", rows)
    except ValueError as error:
        parser.error(str(error))
    given.rows = tuple(sorted(given.rows))
    given.folder = given.folder.absolute()
    return Options(**vars(given))


def _parser(programs: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure imports; see benchmarks/README.md.")
    add = parser.add_argument
    add("--folder", type=Path, default=Path(".bench"), help="for server, files and results (%(default)s)")
    add("--rows", nargs="+", type=int, metavar="N", default=list(DEFAULT_SIZES), help="rows of the files")
    for option, name, known in (
        ("--workload", "workloads", tuple(TITLES)),
        ("--formats", "formats", FORMATS),
        ("--only", "only", tuple(programs)),
    ):
        words = f"of {', '.join(known)}; all unless told otherwise"
        add(option, dest=name, nargs="+", metavar="NAME", default=list(known), help=words)
    add("--repeat", type=int, default=1, metavar="N", help="times that each is measured; the middle one counts")
    add("--peers-up-to", type=int, metavar="N", help="rows up to which peers are measured")
    add("--keep", action="store_true", help="leave server and filled databases for the next run")
    add("--statements", type=float, metavar="MS", help="list the statements that take longer than so many milliseconds")
    add("--growth", type=int, metavar="N", help="also: size of tables over ten imports of N rows")
    add("--growth-pause", type=float, default=0.0, metavar="S", help="seconds between these imports")
    add("--writer-wait", type=int, metavar="N", help="also: a foreign writer beside an import of N rows")
    add("--revert", type=int, metavar="N", help="also: an import of N rows is reverted")
    return parser


def _words(parser: argparse.ArgumentParser, given: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Words given apart or with commas."""
    words = [word for part in given for word in part.split(",") if word]
    if wrong := [word for word in words if word not in known]:
        parser.error(f"{wrong[0]!r} is not known; expected {', '.join(known)}")
    return tuple(words)
