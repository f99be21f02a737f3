"""Measure everything that the options ask for, on one server, each program from the same state of the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.files import write_file
from benchmarks.floor import run_floor
from benchmarks.options import Options, read_options
from benchmarks.ours import run_import
from benchmarks.results import CAREFUL_FLOOR, FLOOR, OURS, Measured, Results, Timing, about_this_run
from benchmarks.server import BenchServer
from benchmarks.statements import logged_statements
from benchmarks.store_filling import filled_database
from benchmarks.tables import as_markdown
from benchmarks.workload import Workload

Program = Callable[[BenchServer, Path], Timing]

_PROGRAMS = {"floor": FLOOR, "ours": OURS}
"""Programs by the short names that options use."""

_WARM_UP = Workload("A", 200)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and leave ``results.json`` and ``results.md`` in its folder."""
    options = read_options(arguments, tuple(_PROGRAMS))
    server = BenchServer.start(options.folder)
    try:
        results = Results(about_this_run(server))
        for one in _measure_all(server, options):
            results = replace(results, measured=(*results.measured, one))
            # After each, since the next one may take many minutes.
            results.write(options.folder / "results.json")
    finally:
        server.stop() if options.keep else server.remove()
    markdown = as_markdown(results)
    (options.folder / "results.md").write_text(markdown, encoding="utf-8")
    print(markdown)


def _measure_all(server: BenchServer, options: Options) -> Iterator[Measured]:
    if "ours" in options.only:
        _warm_up(server, options)
    for workload, file_format in options.files():
        file = write_file(options.folder / "files", workload, file_format)
        template = filled_database(server, workload.contacts)
        for name, program in _programs(workload, file_format, options).items():
            runs = []
            for _ in range(options.repeat):
                server.copy(template)
                runs.append(program(server, file))
                _say(f"{workload.name} {workload.rows:,} {file_format}: {name} {runs[-1].seconds:.1f} s")
            yield Measured(workload.name, workload.rows, file_format, name, tuple(runs))


def _programs(workload: Workload, file_format: str, options: Options) -> dict[str, Program]:
    programs: dict[str, Program] = {}
    if "floor" in options.only and file_format == "csv":
        programs[FLOOR] = run_floor
        if workload.name == "B":
            programs[CAREFUL_FLOOR] = lambda server, file: run_floor(server, file, skips_unchanged=True)
    if "ours" in options.only:
        programs[OURS] = lambda server, file: _run_ours(server, file, workload, options)
    return programs


def _run_ours(server: BenchServer, file: Path, workload: Workload, options: Options) -> Timing:
    with logged_statements(server, options.statements) as listing:
        timing = run_import(server, file)
    for line in listing():
        _say(line)
    if timing.counts != workload.expected():
        raise AssertionError(f"{file.name}: {timing.counts} came out, and {workload.expected()} was expected.")
    return timing


def _warm_up(server: BenchServer, options: Options) -> None:
    """Let Dagster make its tables, and Python compile its files, before anything is measured."""
    server.copy(filled_database(server, _WARM_UP.contacts))
    run_import(server, write_file(options.folder / "files", _WARM_UP, "csv"))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
