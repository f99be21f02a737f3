"""``engage-etl imports approve``, ``reject`` and ``plan``: people decide on imports that wait (R34, R35)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engage_etl.cli.account import stated_name
from engage_etl.cli.options import AsJson
from engage_etl.cli.output import ExitCode, errors_as_sentences, only_results_on_stdout, print_error, print_json, say
from engage_etl.errors import ImportBusy, ImportEnded, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import

ImportId = Annotated[str, typer.Argument(metavar="ID", help="Id of the import.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; the account of this command if left out.")]


def approve(
    import_id: ImportId,
    by: By = None,
    plan_hash: Annotated[
        str | None, typer.Option(metavar="HASH", help="Approve this plan only, as `imports show` names it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Approve the plan of an import that waits or was stopped by a brake, and apply it."""
    from engage_etl.applied_updates.stage import demand_approvable
    from engage_etl.cli.installation import store
    from engage_etl.store.imports import load_import
    from engage_etl.triggers.approving import APPLY_PLAN, approving
    from engage_etl.vocabulary.outcomes import Status

    with errors_as_sentences(as_json=as_json), store() as opened:
        name = stated_name(by)
        entry = load_import(opened.engine, import_id)
        if not _is_approved_and_applied(opened, entry):
            with opened.engine.connect() as connection:
                demand_approvable(connection, entry, by=name, plan_hash=plan_hash)
            # Recorded by the run, which holds the import's lock: the daemon does not take the import up meanwhile.
            failure = _run(opened, entry, APPLY_PLAN, approving(name, plan_hash or entry.plan_hash or ""))
            entry = load_import(opened.engine, import_id)
            if entry.status is not Status.APPLIED:
                raise typer.Exit(_report_failure(entry, failure, as_json=as_json))
            if failure is not None:
                say(_told_of(failure, import_id, _approver(opened, entry), name))
        _print(opened, entry, as_json=as_json)


def reject(
    import_id: ImportId,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why; the report says so.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """End an import that waits or was stopped by a brake: nothing of it is applied."""
    from engage_etl.cli.installation import store
    from engage_etl.stage_run import reject_and_finish
    from engage_etl.store.imports import load_import

    with errors_as_sentences(as_json=as_json), store() as opened:
        name = stated_name(by)
        reject_and_finish(opened, import_id, because=because, by=name)
        _print(opened, load_import(opened.engine, import_id), as_json=as_json)


def plan(import_id: ImportId, as_json: AsJson = False) -> None:
    """Make the plan of an import that waits for a person, or of a dry run, again; nothing is applied."""
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.store.imports import load_import
    from engage_etl.triggers.jobs import PLAN_IMPORT
    from engage_etl.vocabulary.outcomes import Status

    with errors_as_sentences(as_json=as_json), store_to_look_at() as opened:
        entry = load_import(opened.engine, import_id)
        if entry.status.has_ended or not (entry.status.waits or entry.import_options.stops_after_plan):
            raise UsageError(
                f"Import {import_id} is {entry.status.value}, and there is nothing to plan again: only an import that "
                "waits for a person, or a dry run, is planned by itself."
            )
        failure = _run(opened, entry, PLAN_IMPORT)
        entry = load_import(opened.engine, import_id)
        if failure is not None and str(failure) != entry.error_message:
            raise typer.Exit(_report_failure(entry, failure, as_json=as_json))
        _print(opened, entry, as_json=as_json)
        if entry.status not in (Status.PLANNED, Status.WAITING_FOR_APPROVAL):
            raise typer.Exit(ExitCode.FAILED)


def _is_approved_and_applied(store: Store, entry: Import) -> bool:
    """Whether all is done: the command was given twice, or its process was killed after the apply."""
    from engage_etl.vocabulary.outcomes import Status

    return entry.status is Status.APPLIED and _approver(store, entry) is not None


def _approver(store: Store, entry: Import) -> str | None:
    from engage_etl.store.approvals import find_approval

    with store.engine.connect() as connection:
        approval = find_approval(connection, entry.import_id)
    return approval.approved_by if approval is not None else None


def _told_of(failure: ImportEnded, import_id: str, approver: str | None, name: str) -> str:
    """What is said where the import is applied, and yet the run of this command has failed. name: who gave it."""
    if approver != name or str(failure) == str(ImportBusy(import_id)):
        return f"{approver} has approved the plan in the same moment, and it is applied; this command had nothing left to do."
    return f"Warning: {failure}"


def _run(
    store: Store, entry: Import, job_name: str, run_config: Mapping[str, object] | None = None
) -> ImportEnded | None:
    from engage_etl.cli.import_runs import run_waiting

    with only_results_on_stdout():
        return run_waiting(store, entry, job_name, run_config)


def _report_failure(entry: Import, failure: ImportEnded | None, *, as_json: bool) -> ExitCode:
    """Say why the run did not do what it was to do, by the code that the register has for that."""
    why = str(failure) if failure is not None else f"{entry.file}: the import is {entry.status.value}."
    code = entry.error_code if entry.error_code is not None and why == entry.error_message else "run_failed"
    print_error(code, why, as_json=as_json)
    return ExitCode.FAILED


def _print(store: Store, entry: Import, *, as_json: bool) -> None:
    from engage_etl.cli.import_summary import print_summary
    from engage_etl.reports.summary import import_summaries

    if not as_json:
        print_summary(store, entry)
        return
    with store.engine.connect() as connection:
        print_json(import_summaries(connection, [entry])[0])
