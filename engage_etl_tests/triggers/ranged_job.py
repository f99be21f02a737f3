"""The job of imports in processes of their own, where each of them can find it."""

from __future__ import annotations

import dagster as dg

from engage_etl.settings import Executor, load_settings
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions


def ranged_job() -> dg.JobDefinition:
    """The job ``import_contacts`` as ``ENGAGE_EXECUTOR=multiprocess`` has it."""
    return import_definitions(load_settings().model_copy(update={"executor": Executor.MULTIPROCESS})).resolve_job_def(
        IMPORT_CONTACTS
    )
