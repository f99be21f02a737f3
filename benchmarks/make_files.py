"""Write the files of the workload: a seed that fills the store, and an update in which nearly every address changes.

python benchmarks/make_files.py FOLDER --rows 100000 --contacts 200000
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

HEADER = (
    "user.Email",
    "user.Identifier",
    "user.MobileNumber",
    "user.FirstName",
    "user.LastName",
    "user.ZipCode",
    "user.ISOCountryCode",
    "user.ISOLanguageCode",
    "user.DateOfBirth",
    "user.Title",
    "user.CustomAttribute.colour",
    "user.CustomAttribute['Favourite shop']",
)


def contact(number: int, domain: str = "example.com") -> list[str]:
    """The cells of one contact."""
    return [
        f"user{number}@{domain}",
        f"CRM-{number:09d}",
        f"4915{number:09d}",
        f"First{number % 1000}",
        f"Last{number % 5000}",
        f"{number % 99999:05d}",
        "DE",
        "de",
        f"19{number % 80 + 10}-0{number % 9 + 1}-1{number % 9}",
        str(number % 2 + 1),
        ("red", "green", "blue")[number % 3],
        ("Mitte", "Altona", "Süd")[number % 3],
    ]


def update_rows(rows: int, contacts: int) -> Iterator[list[str]]:
    """90 % match and change their address, 5 % are new, 5 % match nobody and have no address; 2 % have a bad one."""
    chance = random.Random(1)
    numbers = chance.sample(range(1, contacts + 1), rows)
    for position, number in enumerate(numbers):
        share = position % 100
        if share < 5:
            yield contact(contacts + number, "example.net")
        elif share < 10:
            cells = contact(2 * contacts + number)
            yield ["", cells[1], "", *cells[3:]]
        elif share < 12:
            yield ["not-an-address", *contact(number)[1:]]
        else:
            yield contact(number, "example.org")


def write(file: Path, rows: Iterator[list[str]]) -> None:
    """Write a CSV file."""
    with file.open("w", encoding="utf-8", newline="") as writing:
        writer = csv.writer(writing, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--contacts", type=int, default=200_000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    write(given.folder / "seed.csv", (contact(number) for number in range(1, given.contacts + 1)))
    write(given.folder / "update.csv", update_rows(given.rows, given.contacts))


if __name__ == "__main__":
    main()
