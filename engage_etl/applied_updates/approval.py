"""Who may say that a plan is applied although it waits, or that it is not (R34, R35)."""

from __future__ import annotations

import unicodedata

from sqlalchemy import Connection

from engage_etl.errors import ApprovalMissing, ApprovalRefused, BrakeStopped, PlanRejected, UsageError
from engage_etl.match_plan.stage import brake_verdicts
from engage_etl.store.approvals import find_approval, record_approval, void_approvals
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, mark_failed
from engage_etl.vocabulary.options import ApprovalNeeded

REJECTED = "rejected"


def approve_plan(store: Store, import_id: str, *, by: str, plan_hash: str | None = None) -> None:
    """Record that a person approves the plan of an import; one that is approved already, or applied, stays so.

    plan_hash: of the plan that was looked at; None: of the one there is.

    Raises:
        UsageError, ApprovalRefused: as ``demand_approvable``.
    """
    with store.engine.begin() as connection:
        entry = find_import(connection, import_id)
        if entry.status.is_final:
            return
        demand_approvable(connection, entry, by=by, plan_hash=plan_hash)
        if find_approval(connection, import_id) is None:
            overrides = [verdict.brake for verdict in brake_verdicts(entry) if verdict.is_exceeded]
            record_approval(connection, entry, by=by, overrides=overrides)


def demand_approvable(connection: Connection, entry: Import, *, by: str, plan_hash: str | None) -> None:
    """Refuse an approval that may not be.

    Raises:
        UsageError: the import does not wait for a person, or nobody is named.
        ApprovalRefused: the plan is another than the one looked at, or a second person is asked for.
    """
    _demand_name(by)
    _demand_waiting(entry, "approve")
    if plan_hash is not None and plan_hash != entry.plan_hash:
        raise ApprovalRefused(
            f"{entry.file}: the plan of import {entry.import_id} is {entry.plan_hash} now and not {plan_hash or 'blank'}; "
            "look at it, and approve that one."
        )
    needs_other = entry.import_options.approval is ApprovalNeeded.SECOND_PERSON
    if needs_other and find_approval(connection, entry.import_id) is None and _same(by, entry.starter):
        raise ApprovalRefused(
            f"{entry.file}: {entry.starter} has started import {entry.import_id}, and its plan is to be approved by a "
            "second person (approval: second-person). Let somebody else approve it."
        )


def demand_approval(connection: Connection, entry: Import) -> None:
    """Refuse to apply a plan that waits for a person, unless it is approved.

    Raises:
        BrakeStopped: a brake stopped it; the sentence is that of the stop.
        ApprovalMissing: nobody has approved this plan.
    """
    if not entry.status.waits or find_approval(connection, entry.import_id) is not None:
        return
    for verdict in brake_verdicts(entry):
        if verdict.is_exceeded:
            raise BrakeStopped(entry.error_message or f"{entry.file}: {verdict.finding}.")
    raise ApprovalMissing(
        f"{entry.file}: the plan of import {entry.import_id} is not approved, and nothing was applied. Look at its report, "
        f"then apply it with `engage-etl imports approve {entry.import_id}`, or with the job apply_plan in the web page."
    )


def reject_plan(store: Store, import_id: str, *, because: str, by: str) -> None:
    """End an import that waits for a person: nothing of it is applied; its approvals hold no more.

    Raises:
        UsageError: the import does not wait for a person, or name or reason are blank.
    """
    _demand_name(by)
    if not because.strip():
        raise UsageError("Say with --because why the plan is rejected.")
    with store.engine.begin() as connection:
        entry = find_import(connection, import_id)
        _demand_waiting(entry, "reject")
        void_approvals(connection, import_id, REJECTED)
        sentence = f"{entry.file}: {by} has rejected the plan, and nothing was applied. The reason: {because.strip()}"
        mark_failed(connection, import_id, PlanRejected(sentence))


def _demand_waiting(entry: Import, what: str) -> None:
    if entry.is_dry_run:
        raise UsageError(
            f"Import {entry.import_id} is a dry run, which is never applied, and there is nothing to {what}; "
            "import the file again without dry-run."
        )
    if not entry.status.waits:
        raise UsageError(
            f"Import {entry.import_id} is {entry.status.value}, and there is nothing to {what}: "
            "only an import that waits for approval, or was stopped by a brake, has a plan to decide on."
        )


def _demand_name(name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise UsageError("Who decides on a plan has to be named: by needs a name that is not blank.")


def _same(name: str, other: str | None) -> bool:
    """Whether two spellings are one name: case, white space and how accents are put together make no difference."""
    first, second = (" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in (name, other or ""))
    return first == second
