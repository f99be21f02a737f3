"""What is measured, from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files import FORMATS
from benchmarks.workload import TITLES, Workload

DEFAULT_SIZES = (10_000, 100_000)
XML_FROM = 100_000
"""Rows from which on XML is measured too."""


@dataclass(frozen=True)
class Options:
    """One run. folder: of everything; only: short names of programs; repeat: times that each is measured.

    keep: leave server and filled databases for the next run; statements: milliseconds from which on they are listed.
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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure imports; see benchmarks/README.md."
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".bench"), help="for server, files and results (%(default)s)"
    )
    parser.add_argument("--workload", nargs="+", metavar="NAME", default=list(TITLES), help=_one_of(TITLES))
    parser.add_argument(
        "--rows", nargs="+", type=int, metavar="N", default=list(DEFAULT_SIZES), help="rows of the files"
    )
    parser.add_argument("--formats", nargs="+", metavar="FORMAT", default=list(FORMATS), help=_one_of(FORMATS))
    parser.add_argument("--only", nargs="+", metavar="PROGRAM", default=list(programs), help=_one_of(programs))
    parser.add_argument("--repeat", type=int, default=1, help="times that each is measured; the middle one counts")
    parser.add_argument("--peers-up-to", type=int, metavar="N", help="rows up to which peers are measured")
    parser.add_argument("--keep", action="store_true", help="leave server and filled databases for the next run")
    parser.add_argument(
        "--statements", type=float, metavar="MS", help="list the statements of our import that take longer"
    )
    given = parser.parse_args(arguments)
    for name, known in (("workload", TITLES), ("formats", FORMATS), ("only", programs)):
        setattr(given, name, _words(parser, getattr(given, name), known))
    try:
        for rows in given.rows:
            Workload("A", rows)
    except ValueError as error:
        parser.error(str(error))
    return Options(
        folder=given.folder.absolute(),
        workloads=given.workload,
        rows=tuple(sorted(given.rows)),
        formats=given.formats,
        only=given.only,
        repeat=max(1, given.repeat),
        peers_up_to=given.peers_up_to,
        keep=given.keep,
        statements=given.statements,
    )


def _one_of(known: Sequence[str] | dict[str, str]) -> str:
    return f"of {', '.join(known)}; all unless told otherwise"


def _words(parser: argparse.ArgumentParser, given: list[str], known: Sequence[str] | dict[str, str]) -> tuple[str, ...]:
    """Words given apart or with commas."""
    words = [word for part in given for word in part.split(",") if word]
    if wrong := [word for word in words if word not in known]:
        parser.error(f"{wrong[0]!r} is not known; expected {', '.join(known)}")
    return tuple(words)
