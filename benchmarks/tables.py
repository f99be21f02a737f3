"""The results as Markdown, to be pasted into ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.growth import Growth
from benchmarks.results import FLOOR, OURS, Measured, Results
from benchmarks.reverting import RevertTiming
from benchmarks.steps import STEPS
from benchmarks.workload import TITLES
from benchmarks.writer_wait import WriterWait

_MB = 1_000_000


def as_markdown(results: Results) -> str:
    """All tables, with a heading each."""
    parts = [_about(results)]
    if results.measured:
        parts += ["### Programs", _programs(results), "### Cost of a row, each at its largest size", _cost(results)]
    ours = [one for one in results.measured if one.program == OURS]
    floors = [one for one in results.measured if one.program.startswith(FLOOR)]
    if ours:
        parts += ["### Steps of an import, in seconds", _steps(ours, STEPS)]
    if floors:
        parts += ["### Steps of the floor, in seconds", _steps(floors, tuple(floors[0].typical.steps))]
    if results.growth is not None:
        parts += ["### Size of tables over imports of workload A", *_growth(results.growth)]
    if results.writer_wait is not None:
        parts += ["### A foreign writer beside an import of workload A", *_writer_wait(results.writer_wait)]
    if results.revert is not None:
        parts += ["### A revert of an import of workload A", _revert(results.revert)]
    return "\n\n".join(parts) + "\n"


def _about(results: Results) -> str:
    about = results.about
    server = about["server"]
    assert isinstance(server, dict)
    settings = ", ".join(f"{name} {value}" for name, value in server.items() if name != "server_version")
    return (
        f"{about['cores']} cores, {about['memory_gib']} GiB, Python {about['python']}, PostgreSQL "
        f"{server['server_version']} ({settings}); commit {about['commit']}, {about['at']}."
    )


def _programs(results: Results) -> str:
    header = ("workload", "rows", "file", "program", "seconds", "x floor", "rows/s", "peak MB")
    return markdown_table(header, (_program(results, one) for one in results.measured))


def _program(results: Results, one: Measured) -> Sequence[str]:
    ratio, peak = results.ratio(one), one.typical.peak_mb
    return (
        f"{one.workload}, {TITLES[one.workload]}",
        f"{one.rows:,}",
        one.file_format,
        one.program,
        f"{one.seconds:.1f}",
        f"{ratio:.2f}" if ratio is not None else "",
        f"{one.rows / one.seconds:,.0f}",
        f"{peak:.0f}" if peak is not None else "",
    )


def _cost(results: Results) -> str:
    header = ("workload", "program", "rows", "microseconds a row", "x engage-etl")
    return markdown_table(header, _cost_rows(results))


def _cost_rows(results: Results) -> Iterator[Sequence[str]]:
    for workload, program in dict.fromkeys((one.workload, one.program) for one in results.measured):
        one, ours = results.largest(workload, program), results.largest(workload, OURS)
        if one is None:
            continue
        times = f"{one.row_microseconds / ours.row_microseconds:.2f}" if ours is not None else ""
        yield (workload, program, f"{one.rows:,}", f"{one.row_microseconds:,.1f}", times)


def _growth(growth: Growth) -> tuple[str, str]:
    before, first, last = growth.sizes[0], growth.sizes[1], growth.sizes[-1]
    times = len(growth.sizes) - 1
    rows = (
        (
            name,
            *(f"{sizes[name].total / _MB:,.1f}" for sizes in (before, first, last)),
            *(f"{last[name].total / sizes[name].total:.2f}" if sizes[name].total else "" for sizes in (before, first)),
            f"{last[name].table / before[name].table:.2f}" if before[name].table else "",
            f"{last[name].indexes / before[name].indexes:.2f}" if before[name].indexes else "",
        )
        for name in last
        if last[name].total > _MB
    )
    header = ("table", "MB before", "after 1", f"after {times}", "x before", "x after 1", "x before, table", "indexes")
    words = (
        f"{times} imports of {growth.rows:,} rows, {growth.contacts_before:,} contacts before and "
        f"{growth.contacts_after:,} after. Seconds: {', '.join(f'{one:.1f}' for one in growth.seconds)}. "
        f"Autovacuum: {', '.join(f'{name} {count}' for name, count in growth.autovacuums.items()) or 'none'}."
    )
    return words, markdown_table(header, rows)


def _writer_wait(found: WriterWait) -> tuple[str, str]:
    rows = (
        (step, f"{waits.writes:,}", f"{waits.median:.1f}", f"{waits.longest:,.1f}")
        for step, waits in found.waits.items()
    )
    words = f"{found.rows:,} rows, {found.seconds:.1f} s."
    return words, markdown_table(("step", "writes", "median ms", "longest ms"), rows)


def _revert(found: RevertTiming) -> str:
    cells = (
        f"{found.rows:,}",
        f"{found.import_seconds:.1f}",
        f"{found.seconds:.1f}",
        f"{found.seconds / found.import_seconds:.2f}",
        f"{found.restored:,}",
        f"{found.peak_mb:.0f}",
    )
    return markdown_table(("rows", "import, s", "revert, s", "x import", "changes restored", "peak MB"), [cells])


def _steps(measured: Sequence[Measured], steps: Sequence[str]) -> str:
    return markdown_table(("workload", "rows", "file", "program", *steps), _step_rows(measured, steps))


def _step_rows(measured: Sequence[Measured], steps: Sequence[str]) -> Iterator[Sequence[str]]:
    for one in measured:
        seconds = (f"{one.typical.steps.get(step, 0):.1f}" for step in steps)
        yield (one.workload, f"{one.rows:,}", one.file_format, one.program, *seconds)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
