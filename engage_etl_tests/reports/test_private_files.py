"""R41: report folders are private, and replaced as a whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engage_etl.reports.private_files import private_text_file, replaced_folder


def write(folder: Path, name: str) -> None:
    with replaced_folder(folder) as aside, private_text_file(aside / name) as file:
        file.write(name)


def test_a_folder_takes_the_place_of_the_earlier_one_and_leaves_nothing_beside(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "one"
    write(folder, "first")
    write(folder, "second")
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_the_earlier_folder_stays_if_writing_fails(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write(folder, "first")
    with pytest.raises(OSError, match="disk full"), replaced_folder(folder):
        raise OSError("disk full")
    assert [path.name for path in folder.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".one.aside-killed"
    left.mkdir()
    (left / "rejected.csv").write_text("ann@example.com")
    write(tmp_path / "one", "summary.json")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_only_the_owner_may_enter_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "one"
    write(folder, "summary.json")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "summary.json")]
    assert modes == [0o700, 0o700, 0o600]
