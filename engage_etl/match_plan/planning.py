"""The plan of an import, worked out in the store in the transaction of the caller (R29).

``stage.py`` makes it in a snapshot of its own; applying calls it again on drift (R30).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, case, cast, func, insert, literal, null, select, union_all

from engage_etl.errors import FileError, FileErrorCode, StoreUnavailable
from engage_etl.match_plan.addresses import reject_address_conflicts
from engage_etl.match_plan.changes import FreeAttributes
from engage_etl.match_plan.leavers import plan_leavers
from engage_etl.match_plan.matching import decide_rows
from engage_etl.match_plan.modes import leave_out_rows
from engage_etl.match_plan.near_misses import find_near_misses, near_miss_hint
from engage_etl.match_plan.row_changes import RowChanges, work_out_changes
from engage_etl.match_plan.staging import load_stage_files
from engage_etl.match_plan.working_tables import (
    address_rejection,
    create_working_tables,
    decision,
    near_miss,
    row_change,
    staged_rejection,
    staged_row,
    taken_address,
)
from engage_etl.stage_storage.kept_files import KeptFiles
from engage_etl.store.custom_attributes import Scope, known_attributes
from engage_etl.store.tables import plan_attribute, plan_row
from engage_etl.validated_rows.stage_files import StageSummary, rejected_file, valid_file
from engage_etl.vocabulary.attributes import CUSTOM, MEMBER, custom_key
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Reason

_PLAN_COLUMNS = [column for column in plan_row.columns if column.server_default is None]
"""Those that the plan fills; the store adds the day of the plan."""


@dataclass(frozen=True)
class PlanInput:
    """What a plan is made from. folder: of the stage files; summary: of the validation; group_id: of the group.

    kept: where the stage files are fetched from when they are needed: applying needs them on drift only. loaded: a table that
    has the valid rows already; None: they are loaded by the plan itself.
    """

    import_id: str
    file: str
    folder: Path
    kept: KeptFiles
    summary: StageSummary
    options: ImportOptions
    group_id: int
    group_name: str
    loaded: Table | None = None


def write_plan(connection: Connection, plan: PlanInput) -> None:
    """Work out the plan of an import and enter it into the plan tables, which hold none of it yet."""
    create_working_tables(connection, plan.loaded)
    _demand_all_loaded(connection, plan)
    for file in (valid_file(plan.folder), rejected_file(plan.folder)):
        plan.kept.fetched(file)
    load_stage_files(connection, plan.folder, with_valid_rows=plan.loaded is None)
    decide_rows(connection, plan.file, plan.options)
    leave_out_rows(connection, plan.file, plan.options, plan.group_id)
    find_near_misses(connection, plan.options)
    work_out_changes(connection, _row_changes(connection, plan))
    reject_address_conflicts(connection, plan.file, plan.options)
    connection.execute(insert(plan_row).from_select([column.name for column in _PLAN_COLUMNS], _planned_rows(plan)))
    if plan.options.mode_rules.takes_out_others:
        plan_leavers(connection, plan.import_id, plan.group_id, plan.group_name, plan.options)


def _demand_all_loaded(connection: Connection, plan: PlanInput) -> None:
    """A server that crashed since, or a standby that took over, has the table and none of its rows."""
    if plan.loaded is None:
        return
    rows = connection.scalar(select(func.count()).select_from(staged_row))
    if rows != plan.summary.valid:
        raise StoreUnavailable(
            f"{plan.file}: of {plan.summary.valid:,} rows that were loaded the server has {rows:,} left, as after a crash; "
            "nothing was planned. Run the import again.",
            is_passing=True,
        )


def _row_changes(connection: Connection, plan: PlanInput) -> RowChanges:
    """What rows can change; lists the attributes that applying will create (R17)."""
    known = known_attributes(connection)
    known_members = known_attributes(connection, Scope.MEMBER)
    _refuse_other_types(plan, known)
    new = {custom_key(new.name): new for new in plan.summary.new_attributes}
    new_members = {custom_key(name): CustomAttribute(name=name) for name in plan.summary.member_attributes}
    rows = [
        {"import_id": plan.import_id, "name_key": key, "scope": scope.value, **value.as_row()}
        for scope, named, there in ((Scope.CUSTOM, new, known), (Scope.MEMBER, new_members, known_members))
        for key, value in named.items()
        if key not in there
    ]
    if rows:
        connection.execute(insert(plan_attribute), rows)
    return RowChanges(
        file=plan.file,
        options=plan.options,
        fields=frozenset(plan.summary.columns.values()),
        group_id=plan.group_id,
        group_name=plan.group_name,
        custom=FreeAttributes(CUSTOM, new | known),
        member=FreeAttributes(MEMBER, new_members | known_members),
    )


def _refuse_other_types(plan: PlanInput, known: dict[str, CustomAttribute]) -> None:
    """An import that was applied since the rows were validated may have created an attribute of another type (R17)."""
    for new in plan.summary.new_attributes:
        stored = known.get(custom_key(new.name), new)
        if stored.type is not new.type:
            raise FileError(
                FileErrorCode.HEADER_INVALID,
                f"{plan.file}: the custom attribute {new.name!r} has become a {stored.type} since the rows were checked, "
                f"and they were checked as {new.type}. Import the file again.",
            )


def _planned_rows(plan: PlanInput) -> Select[Any]:
    """All rows in their order, so that neither the index nor a report, which reads them in this order, jumps about."""
    rows = union_all(_invalid_rows(plan), _undecided_by_address(plan), _writing_rows(plan)).subquery()
    return select(*(rows.c[column.name] for column in _PLAN_COLUMNS)).order_by(rows.c.row)


def _invalid_rows(plan: PlanInput) -> Select[Any]:
    """Rows that validation rejected."""
    return select(
        *_labelled(
            plan,
            row=staged_rejection.c.row,
            outcome=literal(Outcome.REJECTED.value),
            reason=staged_rejection.c.reason,
            message=staged_rejection.c.message,
        )
    )


def _undecided_by_address(plan: PlanInput) -> Select[Any]:
    """Rows that duplicates, matching or addresses keep from writing."""
    reason = func.coalesce(decision.c.reason, address_rejection.c.reason)
    outcomes = {reason.value: reason.outcome.value for reason in Reason}
    message = func.coalesce(decision.c.message, address_rejection.c.message)
    hint = near_miss_hint(staged_row.c.identifier)
    return (
        select(
            *_labelled(
                plan,
                row=decision.c.row,
                outcome=case(outcomes, value=reason),
                reason=reason,
                message=func.concat_ws(" ", message, hint),
                contact_id=decision.c.contact_id,
            )
        )
        .join_from(decision, address_rejection, address_rejection.c.row == decision.c.row, isouter=True)
        .join(staged_row, staged_row.c.row == decision.c.row)
        .outerjoin(near_miss, near_miss.c.row == decision.c.row)
        .where(reason.is_not(None))
    )


def _writing_rows(plan: PlanInput) -> Select[Any]:
    """Rows that create, update or find everything as it is (R5, R6, R33)."""
    outcome = case(
        (row_change.c.contact_id.is_(None), Outcome.CREATED.value),
        (row_change.c.changes.is_not(None), Outcome.UPDATED.value),
        else_=Outcome.UNCHANGED.value,
    )
    same = {column.name: column for column in row_change.columns if column.name in plan_row.c}
    releasing = select(taken_address.c.releasing_row.label("row")).distinct().subquery("releasing")
    return (
        select(*_labelled(plan, outcome=outcome, is_vacated=releasing.c.row.is_not(None), **same))
        .outerjoin_from(row_change, address_rejection, address_rejection.c.row == row_change.c.row)
        .outerjoin(releasing, releasing.c.row == row_change.c.row)
        .where(address_rejection.c.row.is_(None))
    )


def _labelled(plan: PlanInput, **values: object):  # type: ignore[no-untyped-def]
    """The columns that a plan fills in their order, null where no value is given."""
    values["import_id"] = literal(plan.import_id)
    return [cast(values.get(column.name, null()), column.type).label(column.name) for column in _PLAN_COLUMNS]
