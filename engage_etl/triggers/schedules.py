"""One Dagster schedule for each automation that has a cron line, named after it."""

from __future__ import annotations

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from engage_etl.settings import Settings
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.jobs import IMPORT_CONTACTS


def automation_schedules(settings: Settings) -> list[ScheduleDefinition]:
    """The schedules of an installation; what is wrong in its automations file is told by the sensor and the commands."""
    automations, _ = load_automations(settings.automations_file, settings.root)
    return [_schedule(automation, settings) for automation in automations if automation.is_scheduled]


def _schedule(automation: Automation, settings: Settings) -> ScheduleDefinition:
    """The schedule, on unless the automation is not active."""

    @schedule(
        name=automation.schedule_name,
        job_name=IMPORT_CONTACTS,
        cron_schedule=automation.schedule,
        execution_timezone=automation.time_zone,
        default_status=DefaultScheduleStatus.RUNNING if automation.is_active else DefaultScheduleStatus.STOPPED,
        description=f"Imports the files {automation.pattern} that wait in {automation.source} into the group "
        f"{automation.options.group}, in the order of their modification times.",
    )
    def import_what_waits(context: ScheduleEvaluationContext) -> list[RunRequest] | SkipReason:
        # Loaded at the first tick: the web server shows the schedule and never needs the store.
        from engage_etl.triggers.schedule_tick import tick

        return tick(context.instance, settings, automation, context.log.warning)

    return import_what_waits
