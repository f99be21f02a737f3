"""Measure everything that the options ask for, on one server, each program from the same state of the store."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.chart import draw
from benchmarks.contenders import Contender, contenders
from benchmarks.files import write_file
from benchmarks.growth import measure_growth
from benchmarks.options import Options, read_options
from benchmarks.ours import run_import
from benchmarks.results import Measured, Results, about_this_run
from benchmarks.reverting import measure_revert
from benchmarks.server import BenchServer
from benchmarks.statements import logged_statements
from benchmarks.store_filling import filled_database
from benchmarks.tables import as_markdown
from benchmarks.timing import Timing
from benchmarks.workload import Workload
from benchmarks.writer_wait import measure_writer_wait

_WARM_UP = Workload("A", 200)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and leave ``results.json``, ``results.md`` and ``results.png`` in its folder."""
    known = contenders()
    options = read_options(arguments, tuple(dict.fromkeys(one.short for one in known)))
    server = BenchServer.start(options.folder)
    try:
        for results in _measure_everything(server, options, known):
            # After each, since the next one may take many minutes.
            results.write(options.folder / "results.json")
    finally:
        _clear_up(server, options)
    markdown = as_markdown(results)
    (options.folder / "results.md").write_text(markdown, encoding="utf-8")
    if results.measured:
        draw(results, options.folder / "results.png")
    print(markdown)


def _measure_everything(server: BenchServer, options: Options, known: Sequence[Contender]) -> Iterator[Results]:
    """The results so far, after each that came to them."""
    _warm_up(server, options)
    yield (results := Results(about_this_run(server)))
    for one in _measure_programs(server, options, known):
        yield (results := replace(results, measured=(*results.measured, one)))
    files = options.folder / "files"
    if options.growth is not None:
        grown = measure_growth(server, files, options.growth, pause=options.growth_pause, say=_say)
        yield (results := replace(results, growth=grown))
    if options.writer_wait is not None:
        waits = measure_writer_wait(server, files, options.writer_wait)
        yield (results := replace(results, writer_wait=waits))
    if options.revert is not None:
        yield replace(results, revert=measure_revert(server, files, options.revert))


def _measure_programs(server: BenchServer, options: Options, known: Sequence[Contender]) -> Iterator[Measured]:
    for workload, file_format in options.files():
        for contender in known:
            if _takes_part(contender, workload, file_format, options):
                runs = tuple(_measure(server, contender, workload, file_format, options) for _ in range(options.repeat))
                yield Measured(workload.name, workload.rows, file_format, contender.name, runs)


def _takes_part(contender: Contender, workload: Workload, file_format: str, options: Options) -> bool:
    up_to = options.peers_up_to if contender.up_to and options.peers_up_to else contender.up_to
    return (
        contender.short in options.only
        and file_format in contender.formats
        and workload.name in contender.workloads
        and (up_to is None or workload.rows <= up_to)
    )


def _measure(
    server: BenchServer, contender: Contender, workload: Workload, file_format: str, options: Options
) -> Timing:
    file = write_file(options.folder / "files", workload, file_format, is_distinct=contender.is_distinct)
    with logged_statements(server, options.statements) as listing:
        timing = contender.measure(server, workload, file)
        _say(f"{timing.seconds:8.1f} s  {workload.name} {workload.rows:,} {file_format}  {contender.name}")
        for line in listing():
            _say(line)
    return timing


def _warm_up(server: BenchServer, options: Options) -> None:
    """Let Dagster make its tables, and Python compile its files, before anything is measured."""
    server.copy(filled_database(server, _WARM_UP.contacts))
    run_import(server, write_file(options.folder / "files", _WARM_UP, "csv"))


def _clear_up(server: BenchServer, options: Options) -> None:
    if options.keep:
        server.stop()
        return
    server.remove()
    for folder in ("files", "dlt"):
        shutil.rmtree(options.folder / folder, ignore_errors=True)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
