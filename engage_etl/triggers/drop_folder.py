"""The sensor ``drop_folder``: it looks and registers, and asks for runs; it imports nothing itself (R40)."""

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SensorResult, sensor

from engage_etl.errors import EngageError
from engage_etl.settings import Settings
from engage_etl.triggers.jobs import IMPORT_CONTACTS

DESCRIPTION = """
Looks into the source folders of the automations. A file that has stopped growing is entered into the register, moved
aside and imported by a run of its own. Files in a drop folder without automation are left alone.
"""


def drop_folder_sensor(settings: Settings) -> SensorDefinition:
    """The sensor, on by default."""

    @sensor(
        name="drop_folder",
        job_name=IMPORT_CONTACTS,
        minimum_interval_seconds=settings.sensor_interval,
        default_status=DefaultSensorStatus.RUNNING,
        description=DESCRIPTION,
    )
    def drop_folder(context: SensorEvaluationContext) -> SensorResult:
        # Loaded at the first tick: the web server shows the sensor and never needs the store.
        from engage_etl.store.engine import open_store
        from engage_etl.triggers.looking import look_once

        try:
            with open_store(settings) as store:
                return look_once(context, store)
        except EngageError as error:
            return SensorResult(skip_reason=str(error), cursor=context.cursor)

    return drop_folder
