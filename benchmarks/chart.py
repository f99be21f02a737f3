"""The results as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results import CAREFUL_FLOOR, FLOOR, OURS, Measured, Results

_COLOURS = [mpl.colors.to_hex(colour) for colour in mpl.colormaps["tab20"](range(20))]
_OWN_COLOURS = {FLOOR: "#333333", CAREFUL_FLOOR: "#888888", OURS: "#d62728"}
_STYLES: dict[str, Literal["-", "--"]] = {"A": "-", "B": "--"}
_BAR = 0.8


def draw(results: Results, file: Path) -> None:
    """Draw how programs compare, where the time goes, and how the cost of a row changes with the size of the file."""
    figure = Figure(figsize=(17, 3 + 0.25 * max(14, len(results.measured))), layout="constrained")
    compared, explained, grown = figure.subplots(1, 3)
    _draw_ratios(compared, results)
    _draw_steps(explained, [one for one in results.measured if one.typical.steps])
    _draw_growth(grown, [one for one in results.measured if one.file_format == "csv"])
    figure.savefig(file, dpi=110)


def _draw_ratios(axes: Axes, results: Results) -> None:
    """A bar per program and file, from the floor's 1 on."""
    rated = [(one, ratio) for one in results.measured if (ratio := results.ratio(one)) is not None]
    colours = _colours(one.program for one, _ in rated)
    for place, (one, ratio) in enumerate(rated):
        axes.barh(place, ratio, _BAR, color=colours[one.program])
        axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=7)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(left=0.3)
    axes.margins(x=0.15)
    _name_bars(axes, [one for one, _ in rated])
    axes.set_title("times the floor")


def _draw_steps(axes: Axes, measured: Sequence[Measured]) -> None:
    """The steps of each run as parts of one bar, as shares of it."""
    steps = list(dict.fromkeys(step for one in measured for step in one.typical.steps))
    colours = _colours(steps)
    for place, one in enumerate(measured):
        left = 0.0
        for step, seconds in one.typical.steps.items():
            axes.barh(place, seconds / one.seconds, _BAR, left=left, color=colours[step])
            left += seconds / one.seconds
        axes.text(1.01, place, f"{one.seconds:.1f} s", va="center", fontsize=7)
    for step in steps:
        axes.barh(0, 0, color=colours[step], label=step)
    axes.set_xlim(0, 1.12)
    _name_bars(axes, measured)
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.05))
    axes.set_title("where the time goes")


def _draw_growth(axes: Axes, measured: Sequence[Measured]) -> None:
    """Microseconds per row over rows; a level line is cost that grows with the file and no faster."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for one in measured:
        lines.setdefault((one.workload, one.program), []).append((one.rows, one.row_microseconds))
    colours = _colours(program for _, program in lines)
    for (workload, program), points in lines.items():
        width = 2.5 if program in (FLOOR, OURS) else 1
        rows, cost = zip(*sorted(points), strict=True)
        axes.plot(rows, cost, _STYLES[workload], marker="o", color=colours[program], linewidth=width)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows")
    axes.set_ylabel("microseconds per row")
    axes.grid(which="both", linewidth=0.3)
    handles = [Line2D([], [], color=colour, marker="o", label=program) for program, colour in colours.items()]
    handles += [Line2D([], [], color="black", linestyle=style, label=name) for name, style in _STYLES.items()]
    axes.legend(handles=handles, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set_title("cost of a row")


def _name_bars(axes: Axes, measured: Sequence[Measured]) -> None:
    names = [f"{one.workload} {one.rows:,} {one.file_format}  {one.program}" for one in measured]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()


def _colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name; the floor and ours have their own everywhere."""
    others = iter(_COLOURS)
    return {name: _OWN_COLOURS.get(name) or next(others) for name in dict.fromkeys(names)}
