"""Everything that Dagster loads, assembled."""

from __future__ import annotations

import dagster as dg

from engage_etl.marts.asset import marts_definitions
from engage_etl.settings import load_settings
from engage_etl.triggers.drop_folder import drop_folder_sensor
from engage_etl.triggers.housekeeping import housekeeping_definitions
from engage_etl.triggers.jobs import import_definitions
from engage_etl.triggers.notifications import notifications_sensor
from engage_etl.triggers.schedules import automation_schedules

_settings = load_settings()

defs = dg.Definitions.merge(
    import_definitions(),
    dg.Definitions(
        sensors=[drop_folder_sensor(_settings), notifications_sensor(_settings)],
        schedules=automation_schedules(_settings),
    ),
    housekeeping_definitions(),
    marts_definitions(_settings),
)
