"""A store with a little of everything, and its marts, built twice: by plain dbt and by Dagster."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import materialize
from sqlalchemy import Connection, func, insert, text

from engage_etl.marts.asset import mart_assets
from engage_etl.store.engine import Store
from engage_etl.store.imports import register_import, update_import
from engage_etl.store.tables import contact_change, import_register
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, Importing

SEED = """user.Email,user.Identifier,user.FirstName,user.CustomAttribute.Colour
ann@example.com,12345,Ann,red
bob@example.com,2,Bob,
cid@example.com,3,,
dora@example.com,4,Dora,blue
eve@example.com,,,
"""
UPDATE = """user.Identifier,user.Email
12345,ann@example.org
2,bob@example.com
,x@example.com
9,
3,not-an-address
"""
TWINS = "user.Email,user.Identifier\neve@example.com,2\n"
REMOVED = "user.Identifier\n12345\n"
DAYS_AGO = 40
_PROJECT = Path(__file__).parents[2] / "dbt"

Marts = dict[str, list[dict[str, Any]]]
ORDERS = {
    "imports": "received_at, file",
    "import_rows_by_reason": "reason",
    "contact_changes": "change_id, field",
    "contact_current": "contact_id",
    "duplicate_identifiers": "identifier",
    "attribute_fill_rates": "scope, attribute",
    "group_growth": "group_name, day",
}


@dataclass(frozen=True)
class Built:
    """What the marts held after each build. ids: of contacts by first letter; imports: ids by file."""

    store: Store
    first: Marts
    second: Marts
    failed_checks: set[str]
    materialized: set[str]
    ids: dict[str, int]
    imports: dict[str, str]


def build_twice(importing: Importing, folder: Path) -> Built:
    """Import, build with dbt alone while an old transaction is open, import and change more, build with Dagster."""
    store = importing.store
    imports = [importing.seed(SEED)]
    ids = {found["email"][0]: found["contact_id"] for found in importing.contacts()}
    with store.engine.begin() as connection:
        connection.execute(text(f"SELECT engage.make_partitions(current_date - {DAYS_AGO}, current_date)"))
    with store.engine.connect() as late:
        write_late_import(late, ids["c"])
        imports.append(importing(UPDATE, name="update.csv"))
        build_with_dbt_alone(store, folder)
        first = read(store)
        late.commit()
    imports.append(importing(TWINS, name="twins.csv", use_external_identifier=False))
    imports.append(importing(REMOVED, name="removed.csv", import_mode="remove"))
    with store.engine.begin() as connection:
        write_past_the_importer(connection, ids)
    register_miscounted(store)
    result = materialize([mart_assets(store.settings)], raise_on_error=False)
    assert result.success
    return Built(
        store,
        first,
        read(store),
        failed_checks={check.check_name for check in result.get_asset_check_evaluations() if not check.passed},
        materialized={event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key},
        ids=ids,
        imports={entry.file: entry.import_id for entry in imports},
    )  # fmt: skip


def write_late_import(connection: Connection, contact_id: int) -> None:
    """What an import writes whose transaction began long ago, and is still open."""
    began = func.now() - func.make_interval(0, 0, 0, DAYS_AGO)
    entry = {"import_id": "late", "file": "late.csv", "source_path": "late.csv", "group_name": GROUP, "options": {}}
    counts = {"rows": 1, "updated": 1, "planned_at": began, "received_at": began}
    connection.execute(insert(import_register).values(**entry, **counts, status=Status.APPLIED))
    changed = {"import_id": "late", "row": 2, "contact_id": contact_id, "version": 2, "outcome": "updated"}
    changes = {"first_name": [None, "Cid"], "groups": [None, GROUP]}
    connection.execute(insert(contact_change).values(**changed, changed_at=began, changes=changes))


def write_past_the_importer(connection: Connection, ids: dict[str, int]) -> None:
    """Forget Dora; another program makes a group that Bob is in."""
    for statement in (
        f"DELETE FROM engage.contact_change WHERE contact_id = {ids['d']}",
        f"DELETE FROM engage.contact WHERE contact_id = {ids['d']}",
        "INSERT INTO engage.contact_group (name, name_key) VALUES ('VIP', 'vip')",
        f"INSERT INTO engage.membership (group_id, contact_id) SELECT max(group_id), {ids['b']} FROM engage.contact_group",
    ):
        connection.execute(text(statement))


def register_miscounted(store: Store) -> None:
    """An import whose counts break R38."""
    with store.engine.begin() as connection:
        import_id = register_import(connection, Path("miscounted.csv"), ImportOptions(group=GROUP))
        update_import(connection, import_id, status=Status.PLANNED, rows=4, created=1, planned_at=func.now())


def build_with_dbt_alone(store: Store, folder: Path) -> None:
    """As people do: in the folder of the project, with what ``engage-etl env`` prints."""
    exports = engage_etl(store.settings, "env").out.splitlines()
    given = dict(line.removeprefix("export ").split("=", 1) for line in exports)
    where = ["--target-path", str(folder / "target"), "--log-path", str(folder / "log")]
    ended = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "build", *where],
        cwd=_PROJECT, env=os.environ | {name: value.strip("'") for name, value in given.items()},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


def read(store: Store) -> Marts:
    """All rows of all marts."""
    with store.engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(text(f"SELECT * FROM marts.{name} ORDER BY {order}")).mappings()]
            for name, order in ORDERS.items()
        }  # fmt: skip
