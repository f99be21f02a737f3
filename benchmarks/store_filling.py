"""Fill a store with the contacts of the benchmark, set-based and past the importer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from benchmarks.index_building import indexes_built_afterwards
from benchmarks.profiles import CUSTOM_NAMES, Profiles
from benchmarks.server import BenchServer
from benchmarks.templates import template_database
from benchmarks.workload import STORE_DOMAIN
from engage_etl.settings import Settings
from engage_etl.store.engine import connect_engine
from engage_etl.store.schema import upgrade
from engage_etl.vocabulary.attributes import custom_key
from engage_etl.vocabulary.comparison import group_key

GROUP = "Newsletter"
"""The group that all contacts are members of."""

_BATCH = 100_000
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")


def filled_database(server: BenchServer, contacts: int) -> str:
    """The name of a database with so many contacts, all of them members."""
    here = Path(__file__).parent
    own = (here / name for name in ("store_filling.py", "profiles.py", "index_building.py"))
    return template_database(
        server,
        "filled",
        contacts,
        made_from=("store/migrations", "store/tables.py", *own),
        fill=lambda database: _fill(server, database, contacts),
    )


def _fill(server: BenchServer, database: str, contacts: int) -> None:
    engine = connect_engine(Settings(data_dir=server.settings.data_dir, database_url=server.url(database)))
    upgrade(engine)
    engine.dispose()
    with server.connect(database) as connection:
        fill_store(connection, contacts)


def fill_store(connection: psycopg.Connection, contacts: int) -> None:
    """Fill an empty store: custom attributes, the group, contacts with the numbers from 1 on, and their memberships."""
    with connection.transaction():
        # Without triggers: what they would check is true of these rows, and 2 M checks take longer than the rows.
        connection.execute("SET LOCAL session_replication_role = replica")
        for name in CUSTOM_NAMES.values():
            connection.execute(
                "INSERT INTO engage.custom_attribute (scope, name_key, name, type) VALUES ('custom', %s, %s, 'string')",
                [custom_key(name), name],
            )
        connection.execute(
            "INSERT INTO engage.contact_group (name, name_key) VALUES (%s, %s)", [GROUP, group_key(GROUP)]
        )
        with indexes_built_afterwards(connection, "engage.contact"):
            _copy_contacts(connection, contacts)
        connection.execute(
            "INSERT INTO engage.membership (group_id, contact_id) SELECT group_id, contact_id"
            " FROM engage.contact CROSS JOIN engage.contact_group ORDER BY contact_id"
        )
    # As the store is when imports come at night: vacuumed, known to the planner, and on the disk.
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _copy_contacts(connection: psycopg.Connection, contacts: int) -> None:
    blocks = _contact_tables(contacts)
    first = next(blocks)
    copying = f"COPY engage.contact ({', '.join(first.column_names)}) FROM STDIN (FORMAT csv)"
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        for table in chain([first], blocks):
            block = io.BytesIO()
            pyarrow.csv.write_csv(table, block, _CSV)
            copy.write(block.getvalue())


def _contact_tables(contacts: int) -> Iterator[pa.Table]:
    """Contacts in the columns of the store (R13, R17)."""
    for start in range(1, contacts + 1, _BATCH):
        numbers = np.arange(start, min(start + _BATCH, contacts + 1), dtype=np.int64)
        columns = Profiles.of(numbers).columns(STORE_DOMAIN)
        custom: list[object] = []
        for field, name in CUSTOM_NAMES.items():
            custom += [f'{", " if custom else "{"}"{custom_key(name)}": "', columns.pop(field), '"']
        columns["email_key"] = pc.utf8_lower(columns["email"])
        columns["mobile_key"] = columns["mobile_number"]
        columns["custom"] = pc.binary_join_element_wise(*custom, "}", "")
        yield pa.table(columns)
