"""Take the pictures of the documentation from what the browser tests have seen last: ``make screenshots``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

TAKEN = Path(__file__).parents[1] / "artefacts" / "screenshots"
SHOWN = Path(__file__).parent / "images"
CHOSEN: dict[str, tuple[int, int] | None] = {
    "runs": (1280, 800),
    "lineage": (1280, 620),
    "partition": (1280, 800),
    "failed-run": None,
    "approval": (1280, 400),
    "report-light": None,
    "report-dark": None,
}
"""What is shown, with its width and height in pixels from the left and the top; None: all of it."""


def shrink(name: str, size: tuple[int, int] | None) -> Path:
    """Write a picture with few colours, which is a third as large and looks the same."""
    with Image.open(TAKEN / f"{name}.png") as taken:
        width, height = size or taken.size
        shown = taken.convert("RGB").crop((0, 0, width, height))
    SHOWN.mkdir(exist_ok=True)
    path = SHOWN / f"{name}.png"
    # Of all methods this one keeps the few pixels of a colour that says something, like red.
    shown.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main() -> int:
    """Write them all; returns the exit code."""
    missing = [name for name in CHOSEN if not (TAKEN / f"{name}.png").is_file()]
    if missing:
        sys.stderr.write(f"The browser tests have taken no pictures named {', '.join(missing)}; are they skipped?\n")
        return 1
    for name, size in CHOSEN.items():
        sys.stdout.write(f"{shrink(name, size)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
