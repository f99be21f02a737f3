"""R39: rejected.csv and skipped.csv hold the original rows, in the source's format, each with its reason."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engage_etl.reports.row_files import RowFormat, RowOutcome, join_originals, write_row_files
from engage_etl.vocabulary.outcomes import Outcome

HEADER = ["user.Identifier", "user.FirstName"]


@dataclass
class Rows:
    """A source of rows that lie in lists."""

    cells: dict[int, list[str]]
    reported: list[RowOutcome]
    names: list[str] = field(default_factory=lambda: list(HEADER))

    def header(self) -> list[str]:
        return self.names

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        return iter(self.cells.items())

    def outcomes(self) -> Iterator[RowOutcome]:
        return iter(self.reported)


def rejected(row: int, message: str = "no identifier") -> RowOutcome:
    return RowOutcome(row, Outcome.REJECTED, "identifier_missing", message)


def skipped(row: int) -> RowOutcome:
    return RowOutcome(row, Outcome.SKIPPED, "superseded", "by another row")


def read(path: Path, separator: str = ",", character_set: str = "utf-8") -> list[list[str]]:
    with path.open(encoding=character_set, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_each_row_stands_with_its_own_cells_whatever_lies_between(tmp_path: Path) -> None:
    rows = Rows({2: ["a", "A"], 5: ["b", "B"], 6: ["c", "C"], 9: ["d", "D"]}, [skipped(2), rejected(6), rejected(9)])
    write_row_files(tmp_path, rows, RowFormat())
    added = ["import.row", "import.reason", "import.message"]
    assert read(tmp_path / "rejected.csv") == [
        HEADER + added,
        ["c", "C", "6", "identifier_missing", "no identifier"],
        ["d", "D", "9", "identifier_missing", "no identifier"],
    ]
    assert read(tmp_path / "skipped.csv") == [HEADER + added, ["a", "A", "2", "superseded", "by another row"]]


def test_a_row_number_that_the_file_lacks_is_reported_without_cells() -> None:
    joined = list(join_originals([rejected(3), rejected(4)], [(2, ["a"]), (4, ["b"])]))
    assert [(outcome.row, cells) for outcome, cells in joined] == [(3, []), (4, ["b"])]


def test_the_file_is_read_no_further_than_the_last_reported_row() -> None:
    def originals() -> Iterator[tuple[int, list[str]]]:
        yield 2, ["a"]
        raise AssertionError("read on")

    assert list(join_originals([rejected(2)], originals())) == [(rejected(2), ["a"])]


def test_separator_and_encoding_are_the_source_s_own(tmp_path: Path) -> None:
    rows = Rows({2: ["1", "Zoë; 5 €"]}, [rejected(2, "value 'Z…€' is wrong")])
    write_row_files(tmp_path, rows, RowFormat(";", "iso-8859-15"))
    lines = (tmp_path / "rejected.csv").read_bytes().split(b"\r\n")
    assert lines[1] == b"1;\"Zo\xeb; 5 \xa4\";2;identifier_missing;value 'Z...\xa4' is wrong"


def test_a_message_that_does_not_fit_the_encoding_makes_the_files_utf8(tmp_path: Path) -> None:
    rows = Rows({2: ["1", "Zoë"]}, [rejected(2, "there is no group 'Łódź'")])
    write_row_files(tmp_path, rows, RowFormat(";", "iso-8859-1"))
    assert read(tmp_path / "rejected.csv", ";")[1][1:] == ["Zoë", "2", "identifier_missing", "there is no group 'Łódź'"]


def test_a_byte_order_mark_is_kept(tmp_path: Path) -> None:
    write_row_files(tmp_path, Rows({2: ["1", "Zoë"]}, [rejected(2)]), RowFormat(";", "utf-16-le", is_marked=True))
    text = (tmp_path / "rejected.csv").read_bytes().decode("utf-16")
    assert text.startswith("user.Identifier;user.FirstName;") and "Zoë" in text


def test_bytes_that_do_not_fit_the_encoding_are_written_as_they_were_read(tmp_path: Path) -> None:
    cell = b"Zo\xeb".decode("utf-8", "surrogateescape")
    write_row_files(tmp_path, Rows({2: ["1", cell]}, [rejected(2, "byte offset 17")]), RowFormat())
    assert b"1,Zo\xeb,2," in (tmp_path / "rejected.csv").read_bytes()


def test_columns_of_an_earlier_report_are_replaced_not_doubled(tmp_path: Path) -> None:
    names = [*HEADER, "import.row", "Import.Reason", "import.message"]
    rows = Rows({2: ["a", "A", "7", "value_invalid", "old"], 3: ["x", "7", "row_malformed", "old"]},
                [rejected(2, "new"), rejected(3, "too few")], names)  # fmt: skip
    write_row_files(tmp_path, rows, RowFormat())
    assert read(tmp_path / "rejected.csv") == [
        [*HEADER, "import.row", "import.reason", "import.message"],
        ["a", "A", "2", "identifier_missing", "new"],
        ["x", "3", "identifier_missing", "too few"],
    ]


def test_what_no_report_wrote_stays_in_a_row_with_too_few_cells(tmp_path: Path) -> None:
    names = [*HEADER, "user.LastName", "import.row", "import.reason", "import.message"]
    rows = Rows({2: ["a", "b", "c", "d"], 3: ['"x"y,7,row_malformed,old']}, [rejected(2), rejected(3)], names)
    write_row_files(tmp_path, rows, RowFormat())
    assert [row[0:-3] for row in read(tmp_path / "rejected.csv")[1:]] == [*rows.cells.values()]


def test_columns_of_an_earlier_report_are_found_wherever_a_spreadsheet_moved_them(tmp_path: Path) -> None:
    rows = Rows({2: ["7", "a", "A"]}, [rejected(2)], ["import.row", *HEADER])
    write_row_files(tmp_path, rows, RowFormat())
    assert read(tmp_path / "rejected.csv")[1][:3] == ["a", "A", "2"]


def test_line_breaks_and_quotes_in_cells_come_back_the_same(tmp_path: Path) -> None:
    cells = ['a "b"', "one\rtwo\r\nthree\nfour"]
    write_row_files(tmp_path, Rows({2: cells}, [rejected(2)]), RowFormat())
    assert read(tmp_path / "rejected.csv")[1][:2] == cells


def test_r41_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    write_row_files(tmp_path, Rows({2: ["a", "A"]}, [rejected(2)]), RowFormat())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"rejected.csv": 0o600, "skipped.csv": 0o600}
