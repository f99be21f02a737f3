"""Everything that Dagster loads, assembled."""

from __future__ import annotations

import dagster as dg

from engage_etl.marts.asset import marts_definitions
from engage_etl.own_files import keep_files_private
from engage_etl.settings import load_settings
from engage_etl.triggers.drop_folder import drop_folder_sensor
from engage_etl.triggers.housekeeping import housekeeping_definitions
from engage_etl.triggers.jobs import import_definitions
from engage_etl.triggers.late_files import late_files_definitions
from engage_etl.triggers.notifications import notifications_sensor
from engage_etl.triggers.retention import retention_definitions
from engage_etl.triggers.revert_job import revert_definitions
from engage_etl.triggers.schedules import automation_schedules

# What loads them writes files: a code server, and the processes of runs that Dagster's own commands start.
keep_files_private()
_settings = load_settings()

defs = dg.Definitions.merge(
    import_definitions(_settings),
    dg.Definitions(
        sensors=[drop_folder_sensor(_settings), notifications_sensor(_settings)],
        schedules=automation_schedules(_settings),
    ),
    revert_definitions(),
    housekeeping_definitions(),
    retention_definitions(),
    late_files_definitions(_settings),
    marts_definitions(_settings),
)
