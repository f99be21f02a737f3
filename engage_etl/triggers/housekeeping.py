"""The job ``housekeeping``, once a day: what the store needs ahead of time and what PostgreSQL does not do by itself."""

from dagster import (
    DefaultScheduleStatus,
    Definitions,
    In,
    Nothing,
    OpExecutionContext,
    ResourceParam,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from engage_etl.triggers.resources import StoreResource

HOUSEKEEPING = "housekeeping"
_EVERY_NIGHT = "30 3 * * *"


@op(description="Makes the partitions of the months to come in which plans and history will lie.")
def make_partitions_ahead(context: OpExecutionContext, store: ResourceParam[StoreResource]) -> None:
    """Make the partitions that lack, some months ahead."""
    from engage_etl.store.partitions import MONTHS_AHEAD, make_partitions

    with store.open() as opened, opened.engine.begin() as connection:
        made = make_partitions(connection, MONTHS_AHEAD)
    context.log.info("Partitions made: %s", ", ".join(made) or "none, all are there")


@op(
    ins={"after": In(Nothing)},
    description="Gathers statistics over all months; autovacuum does it for each month alone.",
)
def analyze_partitioned_tables(store: ResourceParam[StoreResource]) -> None:
    """Tell PostgreSQL what is in the partitioned tables as a whole."""
    from engage_etl.store.partitions import PARTITIONED
    from engage_etl.store.statistics import analyze

    with store.open() as opened:
        for table in PARTITIONED:
            with opened.engine.begin() as connection:
                analyze(connection, table)


@job(
    name=HOUSEKEEPING,
    description="What the store needs once a day; imports do not wait for it.",
    executor_def=in_process_executor,
)
def housekeeping() -> None:
    """Partitions first, then statistics."""
    analyze_partitioned_tables(make_partitions_ahead())


def housekeeping_definitions() -> Definitions:
    """The job and its schedule, which is on by default; the store comes with the imports."""
    every_night = ScheduleDefinition(
        name=HOUSEKEEPING,
        job=housekeeping,
        cron_schedule=_EVERY_NIGHT,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Runs the housekeeping every night.",
    )
    return Definitions(jobs=[housekeeping], schedules=[every_night])
