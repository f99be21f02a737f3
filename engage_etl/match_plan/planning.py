"""The plan of an import, worked out in the store in the transaction of the caller (R29).

``stage.py`` makes it in a snapshot of its own; applying calls it again on drift (R30).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.match_plan.addresses import reject_address_conflicts
from engage_etl.match_plan.changes import (
    EMPTY,
    CustomAttributes,
    custom_changes,
    is_changed,
    membership_change,
    no_custom_changes,
    profile_changes,
)
from engage_etl.match_plan.matching import decide_rows
from engage_etl.match_plan.staging import load_stage_files
from engage_etl.match_plan.working_tables import (
    address_rejection,
    create_working_tables,
    decision,
    staged_rejection,
    staged_row,
)
from engage_etl.store.custom_attributes import known_attributes
from engage_etl.store.tables import contact, membership, plan_attribute, plan_row
from engage_etl.validated_rows.stage_files import StageSummary
from engage_etl.vocabulary.attributes import BY_FIELD, custom_key
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Reason

_PLAN_COLUMNS = [column.name for column in plan_row.columns]


@dataclass(frozen=True)
class PlanInput:
    """What a plan is made from. folder: of the stage files; summary: of the validation; group_id: of the group."""

    import_id: str
    file: str
    folder: Path
    summary: StageSummary
    options: ImportOptions
    group_id: int
    group_name: str


def write_plan(connection: Connection, plan: PlanInput) -> None:
    """Work out the plan of an import and enter it into ``plan_row`` and ``plan_attribute``, which hold none of it yet."""
    create_working_tables(connection)
    load_stage_files(connection, plan.folder)
    decide_rows(connection, plan.file, plan.options)
    reject_address_conflicts(connection, plan.file)
    attributes = _write_new_attributes(connection, plan)
    connection.execute(insert(plan_row).from_select(_PLAN_COLUMNS, _planned_rows(plan, attributes)))


def _write_new_attributes(connection: Connection, plan: PlanInput) -> CustomAttributes:
    """List the custom attributes that applying will create; returns these and the known ones (R17)."""
    known = known_attributes(connection)
    _refuse_other_types(plan, known)
    new = {custom_key(new.name): new for new in plan.summary.new_attributes if custom_key(new.name) not in known}
    if new:
        rows = [{"import_id": plan.import_id, "name_key": key, **value.as_row()} for key, value in new.items()]
        connection.execute(insert(plan_attribute), rows)
    return CustomAttributes(known | new)


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


def _planned_rows(plan: PlanInput, attributes: CustomAttributes) -> Select[Any]:
    rows = union_all(_invalid_rows(plan), _undecided_by_address(plan), _writing_rows(plan, attributes)).subquery()
    return select(*(rows.c[name] for name in _PLAN_COLUMNS))


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
    return (
        select(
            *_labelled(
                plan,
                row=decision.c.row,
                outcome=case(outcomes, value=reason),
                reason=reason,
                message=func.coalesce(decision.c.message, address_rejection.c.message),
                contact_id=decision.c.contact_id,
            )
        )
        .join_from(decision, address_rejection, address_rejection.c.row == decision.c.row, isouter=True)
        .where(reason.is_not(None))
    )


def _writing_rows(plan: PlanInput, attributes: CustomAttributes) -> Select[Any]:
    """Rows that create, update or find everything as it is (R5, R6, R33)."""
    has_custom = any(field.startswith("custom.") for field in plan.summary.columns.values())
    custom = custom_changes(attributes) if has_custom else no_custom_changes()
    is_member = membership.c.contact_id.is_not(None)
    changes = profile_changes().op("||", return_type=JSONB())(func.coalesce(custom.c.changes, EMPTY))
    changes = changes.op("||", return_type=JSONB())(membership_change(is_member, plan.group_name))
    written = (
        select(
            staged_row.c.row,
            contact.c.contact_id,
            contact.c.version,
            changes.label("changes"),
            custom.c["values"].label("custom"),
            case((is_changed(BY_FIELD["email"]), staged_row.c.email_key)).label("email_key"),
            case((is_changed(BY_FIELD["mobile_number"]), staged_row.c.mobile_key)).label("mobile_key"),
        )
        .join_from(staged_row, decision, decision.c.row == staged_row.c.row)
        .outerjoin(address_rejection, address_rejection.c.row == staged_row.c.row)
        .outerjoin(contact, contact.c.contact_id == decision.c.contact_id)
        .outerjoin(
            membership,
            and_(membership.c.contact_id == contact.c.contact_id, membership.c.group_id == plan.group_id),
        )
        .join(custom, true())
        .where(decision.c.reason.is_(None), address_rejection.c.row.is_(None))
        .subquery("written")
    )
    outcome = case(
        (written.c.contact_id.is_(None), Outcome.CREATED.value),
        (written.c.changes != EMPTY, Outcome.UPDATED.value),
        else_=Outcome.UNCHANGED.value,
    )
    return select(
        *_labelled(
            plan,
            row=written.c.row,
            outcome=outcome,
            contact_id=written.c.contact_id,
            contact_version=written.c.version,
            changes=func.nullif(written.c.changes, EMPTY),
            custom=written.c.custom,
            email_key=written.c.email_key,
            mobile_key=written.c.mobile_key,
        )
    )


def _labelled(plan: PlanInput, **values: object):  # type: ignore[no-untyped-def]
    """The columns of ``plan_row`` in their order, null where no value is given."""
    values["import_id"] = literal(plan.import_id)
    return [cast(values.get(column.name, null()), column.type).label(column.name) for column in plan_row.columns]
