"""PostgreSQL 15, the oldest that is supported: the schema, each kind of file and each mode."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from engage_etl.errors import SchemaMismatch
from engage_etl.store.engine import Store, connect_engine, open_store, server_version, upgrade_store
from engage_etl.store.partitions import is_partition
from engage_etl.store.schema import current_revision, head_revision
from engage_etl.store.tables import METADATA, SCHEMA
from engage_etl.vocabulary.choices import ImportMode
from engage_etl_tests.external.conftest import IMPORTER, MIGRATOR
from engage_etl_tests.importing import Importing
from engage_etl_tests.store.older import set_back

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
CSV = "user.Email,user.Identifier,user.CustomAttribute.colour\nann@x.org,1,red\nbob@x.org,2,blue\n"
OUTCOMES = {
    ImportMode.ADD: ("skipped", "created"),
    ImportMode.ADD_CONTACTS_AS_MEMBERS: ("skipped", "skipped"),
    ImportMode.UPDATE_CURRENT_MEMBERS: ("updated", "skipped"),
    ImportMode.ADD_AND_UPDATE: ("updated", "created"),
    ImportMode.REPLACE: ("updated", "created"),
    ImportMode.REMOVE: ("updated", "skipped"),
}


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_schema_is_the_same(store: Store) -> None:
    assert server_version(store.engine) == 15
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: name == SCHEMA if kind == "schema" else not is_partition(name),
        "version_table_schema": SCHEMA,
    }
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []


def test_an_older_schema_is_upgraded_and_a_newer_one_left_alone(store: Store) -> None:
    owning = store.settings.model_copy(
        update={"database_url": (store.settings.database_url or "").replace(IMPORTER, MIGRATOR)}
    )
    engine = connect_engine(owning)
    with engine.begin() as connection:
        set_back(connection, "0012")
        connection.exec_driver_sql("DROP FUNCTION engage.gather_statistics(text), engage.set_up_application()")
    assert upgrade_store(owning).revision == head_revision() == current_revision(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE engage.alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(SchemaMismatch, match="newer than this program's"):
        open_store(store.settings)


@pytest.mark.parametrize("mode", list(ImportMode))
def test_each_mode(importing: Importing, mode: ImportMode) -> None:
    importing.seed("user.Email,user.Identifier\nold@x.org,1\n")
    entry = importing(CSV, import_mode=mode)
    assert entry.status == "applied"
    assert tuple(outcome for _, outcome, _ in importing.rows(entry)) == OUTCOMES[mode]


def test_each_kind_of_file(importing: Importing, tmp_path: Path) -> None:
    assert importing(SAMPLES / "contacts.csv", use_external_identifier=False).created > 0
    entry = importing(SAMPLES / "crm-update.xml")
    assert entry.status == "applied" and entry.updated > 0
    (tmp_path / "crm.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    with zipfile.ZipFile(tmp_path / "crm.zip", "w") as archive:
        archive.writestr("one.csv", CSV)
        archive.write(SAMPLES / "crm-update.csv", "two.csv")
    arrived = [*importing.arrive(tmp_path / "crm.csv.gz"), *importing.arrive(tmp_path / "crm.zip")]
    assert [entry.status.value for entry in arrived] == ["applied"] * 3
