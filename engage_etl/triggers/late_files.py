"""Scheduled automations in the web UI: an asset for each, with a check that its file came, and the sensor that judges it.

The assets are apart from ``raw_file``: jobs take the checks of their assets with them, and an import is not to judge the
files of others. The sensor reports what it found without a run; a person can have the check made at any time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, ScheduleInstigatorData
from dagster._time import get_current_datetime

from engage_etl.errors import EngageError
from engage_etl.settings import Settings
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.expected_files import (
    FileVerdict,
    as_moment,
    judge,
    latest_due,
    latest_files,
    why_nothing_is_due,
)
from engage_etl.triggers.stage_assets import OWNERS

LATE_FILES = "late_files"
FILE_CAME = "file_came"
GROUP = "scheduled_automations"
_SECONDS_BETWEEN_LOOKS = 60
_CHECK = """
A file came for the latest time of the schedule, at most 15 minutes after it. **Yellow?** None did, and nothing was
imported. Ask those who send it whether they sent it, and whether to the right place. When it is there, import it with
`engage-etl automations run`, or leave it to the next time. The check is green again once a file was taken.
"""
_WATCHED = "Reports on the check `file_came` of each scheduled automation; it starts no runs."


def late_files_definitions(settings: Settings) -> dg.Definitions:
    """The assets and checks of the scheduled automations, and the sensor, which is on by default."""
    scheduled = _scheduled(settings)
    checks = [_checks(settings, scheduled)] if scheduled else []
    assets = [_asset(automation) for automation in scheduled]
    return dg.Definitions(assets=assets, asset_checks=checks, sensors=[late_files_sensor(settings)])


def asset_key(automation: str) -> dg.AssetKey:
    """The asset of a scheduled automation."""
    return dg.AssetKey(["automation", automation.replace("-", "_")])


def late_files_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor, which says only what it has not said yet."""

    @dg.sensor(
        name=LATE_FILES,
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=_WATCHED,
    )
    def late_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            return look(context.instance, settings, context.cursor, get_current_datetime())
        except EngageError as error:
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)

    return late_files


def look(instance: dg.DagsterInstance, settings: Settings, cursor: str | None, now: datetime) -> dg.SensorResult:
    """Judge the automations whose verdict may have changed; the store is asked only if a file is due.

    cursor: for each automation the time that was judged, or why there is none, and whether its file was late.

    Raises:
        StoreError: the store cannot be opened.
    """
    said: dict[str, list[object]] = json.loads(cursor or "{}")
    scheduled = _scheduled(settings)
    open_ones = [automation for automation in scheduled if _may_have_changed(automation, said, now)]
    verdicts = verdicts_on(instance, settings, open_ones, now)
    new = [verdict for verdict in verdicts if _is_news(said.get(verdict.automation), verdict)]
    known = {automation.name for automation in scheduled}
    said = {name: what for name, what in said.items() if name in known}
    said |= {verdict.automation: _as_said(verdict) for verdict in verdicts}
    late = [verdict.finding for verdict in verdicts if verdict.is_late]
    return dg.SensorResult(
        asset_events=[_evaluation(verdict, now) for verdict in new],
        skip_reason="; ".join(late) or "no file is late",
        cursor=json.dumps(said),
    )


def verdicts_on(
    instance: dg.DagsterInstance, settings: Settings, automations: Sequence[Automation], now: datetime
) -> list[FileVerdict]:
    """Whether the files of some scheduled automations came.

    Raises:
        StoreError: the store cannot be opened.
    """
    from engage_etl.store.engine import open_store

    since = _on_since(instance)
    found = [why_nothing_is_due(automation, since.get(automation.schedule_name), now) for automation in automations]
    if all(found):
        return [verdict for verdict in found if verdict is not None]
    with open_store(settings) as store, store.engine.connect() as connection:
        latest = latest_files(connection)
    return [
        verdict or judge(automation, latest.get(automation.name), now)
        for automation, verdict in zip(automations, found, strict=True)
    ]


def _scheduled(settings: Settings) -> list[Automation]:
    automations, _ = load_automations(settings.automations_file, settings.root)
    return [automation for automation in automations if automation.is_scheduled]


def _on_since(instance: dg.DagsterInstance) -> dict[str, datetime]:
    """From when on the schedules that are on are so: the daemon notes it when it sees one for the first time."""
    found: dict[str, datetime] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        data = state.instigator_data
        if state.status is not InstigatorStatus.STOPPED and isinstance(data, ScheduleInstigatorData):
            found[state.instigator_name] = as_moment(data.start_timestamp or 0.0)
    return found


def _may_have_changed(automation: Automation, said: Mapping[str, list[object]], now: datetime) -> bool:
    """Not, if a file came for the latest time that is over; one that is late may have come since.

    Where none was due yet, that is looked up in Dagster alone.
    """
    due = latest_due(automation, now)
    before = said.get(automation.name)
    return before is None or before[1] is not False or due is None or before[0] != due.at.isoformat()


def _as_said(verdict: FileVerdict) -> list[object]:
    """What is remembered of a verdict: the time that it is about, whether it is late, and the day; or why there is no time."""
    if verdict.due is None:
        return [verdict.finding, verdict.is_late, verdict.finding]
    return [verdict.due.isoformat(), verdict.is_late, verdict.due.date().isoformat()]


def _is_news(said: list[object] | None, verdict: FileVerdict) -> bool:
    """Whether a verdict is reported: once a day, and when it changes; a schedule of every minute would fill the event log."""
    return said is None or said[1:] != _as_said(verdict)[1:]


def _asset(automation: Automation) -> dg.AssetSpec:
    active = "" if automation.is_active else " It is not active."
    return dg.AssetSpec(
        asset_key(automation.name),
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        tags={"layer": "source"},
        description=f"Files {automation.pattern} in {automation.source}, imported into the group "
        f"{automation.options.group} at `{automation.cron}` ({automation.time_zone}).{active} Its imports are the "
        f"runs with the tag `automation: {automation.name}`.\n\n**Yellow?** The check says which file did not come.",
    )


def _checks(settings: Settings, scheduled: Sequence[Automation]) -> dg.AssetChecksDefinition:
    """The checks as people can have them made; what they find is what the sensor would report."""
    keys = [asset_key(automation.name) for automation in scheduled]
    specs = [dg.AssetCheckSpec(FILE_CAME, asset=key, description=_CHECK) for key in keys]

    @dg.multi_asset_check(name="files_of_scheduled_automations", specs=specs, can_subset=True)
    def files_came(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {key.asset_key for key in context.selected_asset_check_keys}
        # As the file is by now; what is not in it any more is not judged.
        wanted = [automation for automation in _scheduled(settings) if asset_key(automation.name) in selected]
        now = get_current_datetime()
        try:
            verdicts = verdicts_on(context.instance, settings, wanted, now)
        except EngageError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        for verdict in verdicts:
            found = _evaluation(verdict, now)
            yield dg.AssetCheckResult(
                asset_key=found.asset_key,
                check_name=FILE_CAME,
                passed=found.passed,
                severity=found.severity,
                description=found.description,
                metadata=found.metadata,
            )

    return files_came


def _evaluation(verdict: FileVerdict, now: datetime) -> dg.AssetCheckEvaluation:
    metadata: dict[str, float | dg.TimestampMetadataValue] = {"late": int(verdict.is_late)}
    if verdict.due is not None:
        metadata["expected_at"] = dg.MetadataValue.timestamp(verdict.due)
    if verdict.latest is not None:
        metadata["latest_file_at"] = dg.MetadataValue.timestamp(verdict.latest)
        metadata["hours_since_latest_file"] = round((now - verdict.latest).total_seconds() / 3600, 3)
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(verdict.automation),
        check_name=FILE_CAME,
        passed=not verdict.is_late,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict.finding,
        metadata=metadata,
    )
