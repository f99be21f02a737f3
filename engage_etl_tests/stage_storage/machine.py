"""Stages in a process of its own, with a data folder that no other process has.

``python -m engage_etl_tests.stage_storage.machine STAGE IMPORT...`` runs one stage of some imports, as the assets do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from engage_etl.errors import EngageError
from engage_etl.settings import Settings, load_settings
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import STAGES

NAMES = tuple(stage.__name__ for stage in STAGES)


def run_elsewhere(settings: Settings, folder: Path, stage: str, import_ids: list[str]) -> None:
    """Run a stage of some imports as another machine would: its data folder is ``folder``, empty so far."""
    folder.mkdir()
    there = settings.model_copy(update={"data_dir": folder})
    given = environment(there) | {"ENGAGE_STORAGE_URL": str(settings.storage_url)}
    if settings.gnupg_home is not None:
        given["ENGAGE_GNUPG_HOME"] = str(settings.gnupg_home)
    command = [sys.executable, "-m", "engage_etl_tests.stage_storage.machine", stage, *import_ids]
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr


def main(stage: str, import_ids: list[str]) -> None:
    from engage_etl.stage_run import import_stage
    from engage_etl.store.engine import open_store

    with open_store(load_settings()) as store:
        for import_id in import_ids:
            with suppress(EngageError), import_stage(store, import_id):
                STAGES[NAMES.index(stage)](store, import_id)
    if "KEEP_ITS_COPIES" in os.environ:  # as a kill would
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
