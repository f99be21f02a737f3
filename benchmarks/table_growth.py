"""How the tables of contacts and memberships grow: one file after the other changes the addresses of nearly all its rows.

    python benchmarks/table_growth.py --rows 100000 --contacts 200000 --imports 10 --folder /tmp/growth

Each import takes other rows, and gives their contacts addresses of another domain (workload A). Imports follow each
other without a pause, as ``engage-etl`` in processes of their own, so that autovacuum has the time that imports leave it.
Dead rows are vacuum's business: the command prints how large tables and indexes are after each import beside how many
contacts there are, and leaves ``table_growth.json`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from make_files import contact, write

from engage_etl.settings import Settings
from engage_etl.store.engine import connection_facts

SIZES = """
SELECT (SELECT count(*) FROM engage.contact), pg_table_size('engage.contact'), pg_indexes_size('engage.contact'),
       pg_total_relation_size('engage.membership'), n_dead_tup, autovacuum_count
FROM pg_stat_user_tables WHERE relid = 'engage.contact'::regclass
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes after an import, in bytes. dead: rows that no vacuum has cleared; vacuums: that there were so far."""

    seconds: float
    contacts: int
    table: int
    indexes: int
    memberships: int
    dead: int
    vacuums: int

    @property
    def growth(self) -> int:
        """All that grows."""
        return self.table + self.indexes + self.memberships


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="is made anew")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--contacts", type=int, default=200_000)
    parser.add_argument("--imports", type=int, default=10)
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    settings = Settings(data_dir=given.folder / "data")
    file = given.folder / "contacts.csv"
    try:
        engage_etl(settings, "groups", "create", "Newsletter")
        write(file, (contact(number) for number in range(1, given.contacts + 1)))
        measured = [measure(settings, file)]
        show(0, measured)
        for number in range(1, given.imports + 1):
            write(file, update_rows(number, given.rows, given.contacts))
            measured.append(measure(settings, file, "--use-external-identifier"))
            show(number, measured)
    finally:
        engage_etl(settings, "db", "stop")
    (given.folder / "table_growth.json").write_text(json.dumps([asdict(one) for one in measured], indent=2))


def update_rows(number: int, rows: int, contacts: int) -> Iterator[list[str]]:
    """Rows of the n-th update: 5 % are new contacts, 5 % match nobody, 2 % are wrong, the others get another address."""
    for position, chosen in enumerate(random.Random(number).sample(range(1, contacts + 1), rows)):
        share = position % 100
        if share < 5:
            yield contact((number + 1) * contacts + chosen, "example.net")
        elif share < 10:
            cells = contact(100 * contacts + chosen)
            yield ["", cells[1], "", *cells[3:]]
        elif share < 12:
            yield ["not-an-address", *contact(chosen)[1:]]
        else:
            yield contact(chosen, f"example{number}.org")


def measure(settings: Settings, file: Path, *options: str) -> Sizes:
    """Import a file and look at the tables."""
    started = time.monotonic()
    engage_etl(settings, "import", str(file), "--group", "Newsletter", "--json", *options)
    seconds = time.monotonic() - started
    facts = connection_facts(settings)
    with psycopg.connect(host=facts["PGHOST"], user=facts["PGUSER"], dbname=facts["PGDATABASE"]) as connection:
        found = connection.execute(SIZES).fetchone()
    assert found is not None
    return Sizes(seconds, *found)


def engage_etl(settings: Settings, *arguments: str) -> None:
    """Run a command to its end."""
    command = [sys.executable, "-m", "engage_etl.cli.main", *arguments]
    environment = os.environ | {"ENGAGE_DATA_DIR": str(settings.data_dir)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def show(number: int, measured: list[Sizes]) -> None:
    """Print a line of the table, in Markdown."""
    first, last = measured[0], measured[-1]
    if number == 0:
        print("| import | seconds | contacts | table MB | indexes MB | memberships MB | growth | dead rows | vacuums |")
        print("|---" * 9 + "|")
    sizes = " | ".join(f"{size / 1024**2:.0f}" for size in (last.table, last.indexes, last.memberships))
    growth = last.growth / first.growth
    print(
        f"| {number} | {last.seconds:.1f} | {last.contacts:,} | {sizes} | {growth:.2f} | {last.dead:,} | {last.vacuums} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
