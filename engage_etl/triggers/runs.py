"""The runs of imports as Dagster knows them: their tags, and those that are over without having said so."""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psutil

from engage_etl.store.imports import Import

GRPC_INFO = ".dagster/grpc_info"
"""Tag by which Dagster's launcher remembers the code server whose child a run is."""
FILE = "file"
"""Tag with the name of the file that a run imports, or whose import it reverts."""
PROCESS = "process"
"""Tag by which a run of the command line or of the run server remembers its process."""
LAUNCHER = "launcher"
"""Tag by which a run remembers the process that is about to start its own: until there is one, they live and die together."""
_LAUNCHED_WITHIN = timedelta(seconds=30)
"""The launcher notes itself as the first thing it does; a run that starts for longer without is nobody's."""
PARTITION = "dagster/partition"
"""Tag with the id of the import that a run is of."""
_LONGEST_ANSWER = 2.0
_TICK = 0.02
"""Seconds by which the same moment may seem to differ; the kernel counts in hundredths."""
_PROCESS_ENDED = (
    "The process of this run ended before the run did, as after a power cut or a kill. The store is as the last stage "
    "left it; a dropped file is taken up again by a new run."
)
_RESTORED = "This run was at work when the backup was made that the store was restored from; its process is not there."


def run_tags(entry: Import) -> dict[str, str]:
    """The tags of an import's run, by which runs can be filtered in the web UI."""
    tags = {FILE: entry.file, "group": entry.group_name}
    return tags | ({"automation": entry.automation} if entry.automation else {})


def process_tags() -> dict[str, str]:
    """The tags of a run that this process executes itself."""
    return {PROCESS: tag_of(psutil.Process())}


def launcher_tags() -> dict[str, str]:
    """The tags of a run whose process this process is about to start."""
    return {LAUNCHER: tag_of(psutil.Process())}


def tag_of(process: psutil.Process) -> str:
    """What names a process for good: machine, number, and when it was born."""
    return f"{socket.gethostname()}/{process.pid}/{_born(process):.2f}"


def process_of(tag: str) -> psutil.Process | None:
    """The living process that a tag names, or None: it has ended, or is on another machine."""
    _, number, born = tag.rsplit("/", 2)
    try:
        process = psutil.Process(int(number))
        is_same = abs(_born(process) - float(born)) < _TICK and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_same and is_process_here(tag) else None


def _born(process: psutil.Process) -> float:
    """Seconds from the start of the machine, which stay what they are when somebody sets its clock."""
    return process.create_time() - psutil.boot_time()


def is_process_here(tag: str) -> bool:
    """Whether the process that a tag names was started on this machine; of others nothing is known."""
    return tag.rsplit("/", 2)[0] == socket.gethostname()


def list_runs(instance: dg.DagsterInstance, import_id: str) -> list[dg.DagsterRun]:
    """The runs of an import, the latest first."""
    return runs_by_import(instance, [import_id]).get(import_id, [])


def runs_by_import(instance: dg.DagsterInstance, import_ids: Sequence[str]) -> dict[str, list[dg.DagsterRun]]:
    """The runs of some imports by import id, the latest first; imports without runs are left out."""
    found: defaultdict[str, list[dg.DagsterRun]] = defaultdict(list)
    if import_ids:
        for run in instance.get_runs(filters=dg.RunsFilter(tags={PARTITION: list(import_ids)})):
            found[run.tags[PARTITION]].append(run)
    return dict(found)


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process is gone; returns their ids.

    Dagster's own monitoring never does this for the launcher used here: after ``kill -9`` of everything, a run would
    count as going on for ever, its import would wait for it, and it would keep its place in the queue (R40).
    """
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=statuses))
    # Launchers that can tell themselves, as that for Kubernetes: there a run waits for its node and its image, as long as
    # that takes, and Dagster's monitoring asks them.
    starts_at_once = not instance.run_launcher.supports_check_run_worker_health
    gone = [record.dagster_run for record in records if _is_process_gone(record, starts_at_once)]
    # Asked again, since a run may have ended as it should, and its process after it, in between.
    dead = [run.run_id for run in gone if not _has_ended(instance, run)]
    for run in gone:
        if run.run_id in dead:
            instance.report_run_failed(run, _PROCESS_ENDED)
    return dead


def end_restored_runs(instance: dg.DagsterInstance) -> None:
    """Mark the runs as failed that were at work when a backup was made: their processes may have been on another machine."""
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=statuses)):
        instance.report_run_failed(run, _RESTORED)


def _has_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    found = instance.get_run_by_id(run.run_id)
    return found is None or found.is_finished


def _is_process_gone(record: dg.RunRecord, starts_at_once: bool) -> bool:
    """Whether a run is certainly over. A code server that lives sees to the end of its runs itself.

    starts_at_once: a run has a process on this machine, or one that starts it, as soon as it is launched.
    """
    run = record.dagster_run
    if GRPC_INFO in run.tags:
        return not _answers(json.loads(run.tags[GRPC_INFO]))
    tag = run.tags.get(PROCESS) or run.tags.get(LAUNCHER)
    if tag is not None:
        return is_process_here(tag) and process_of(tag) is None
    return (
        starts_at_once
        and run.status is dg.DagsterRunStatus.STARTING
        and datetime.now(UTC) - _as_utc(record.update_timestamp) > _LAUNCHED_WITHIN
    )


def _as_utc(moment: datetime) -> datetime:
    """Dagster keeps moments in UTC without saying so."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _answers(server: dict[str, Any]) -> bool:
    """Whether something listens where a code server was; where that cannot be told, it counts as alive."""
    family = socket.AF_UNIX if "socket" in server else socket.AF_INET
    address = server["socket"] if "socket" in server else (server["host"], server["port"])
    with socket.socket(family) as probe:
        probe.settimeout(_LONGEST_ANSWER)
        try:
            probe.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
