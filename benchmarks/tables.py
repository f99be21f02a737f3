"""The results as Markdown, to be pasted into ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.results import FLOOR, OURS, Measured, Results
from benchmarks.steps import STEPS
from benchmarks.workload import TITLES


def as_markdown(results: Results) -> str:
    """All tables, with a heading each."""
    parts = [_about(results)]
    if results.measured:
        parts += ["### Programs", _programs(results)]
    ours = [one for one in results.measured if one.program == OURS]
    floors = [one for one in results.measured if one.program.startswith(FLOOR)]
    if ours:
        parts += ["### Steps of an import, in seconds", _steps(ours, STEPS)]
    if floors:
        parts += ["### Steps of the floor, in seconds", _steps(floors, tuple(floors[0].typical.steps))]
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
