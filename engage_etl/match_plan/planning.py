"""The plan of an import, worked out in the store in the transaction of the caller (R29).

``stage.py`` makes it in a snapshot of its own; applying calls it again on drift (R30).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
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
    FreeAttributes,
    free_changes,
    identifier_change,
    is_changed,
    joining,
    leaving,
    no_free_changes,
    profile_changes,
)
from engage_etl.match_plan.leavers import plan_leavers
from engage_etl.match_plan.matching import decide_rows
from engage_etl.match_plan.messages import sentence
from engage_etl.match_plan.modes import leave_out_rows
from engage_etl.match_plan.near_misses import find_near_misses, near_miss_hint
from engage_etl.match_plan.staging import load_stage_files
from engage_etl.match_plan.working_tables import (
    address_rejection,
    create_working_tables,
    decision,
    near_miss,
    staged_rejection,
    staged_row,
)
from engage_etl.store.custom_attributes import Scope, known_attributes
from engage_etl.store.tables import contact, membership, plan_attribute, plan_row
from engage_etl.validated_rows.stage_files import StageSummary
from engage_etl.vocabulary.attributes import BY_FIELD, CUSTOM, MEMBER, custom_key
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Reason

_PLAN_COLUMNS = [column for column in plan_row.columns if column.server_default is None]
"""Those that the plan fills; the store adds the day of the plan."""


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
    """Work out the plan of an import and enter it into the plan tables, which hold none of it yet."""
    create_working_tables(connection)
    load_stage_files(connection, plan.folder)
    decide_rows(connection, plan.file, plan.options)
    leave_out_rows(connection, plan.file, plan.options, plan.group_id)
    find_near_misses(connection, plan.options)
    reject_address_conflicts(connection, plan.file, plan.options)
    attributes = _write_new_attributes(connection, plan)
    connection.execute(
        insert(plan_row).from_select([column.name for column in _PLAN_COLUMNS], _planned_rows(plan, attributes))
    )
    if plan.options.mode_rules.takes_out_others:
        plan_leavers(connection, plan.import_id, plan.group_id, plan.group_name, plan.options)


@dataclass(frozen=True)
class _Attributes:
    """Custom attributes of contacts and attributes of memberships, those that applying will create among them."""

    custom: FreeAttributes
    member: FreeAttributes


def _write_new_attributes(connection: Connection, plan: PlanInput) -> _Attributes:
    """List the attributes that applying will create; returns these and the known ones (R17)."""
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
    return _Attributes(FreeAttributes(CUSTOM, new | known), FreeAttributes(MEMBER, new_members | known_members))


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


def _planned_rows(plan: PlanInput, attributes: _Attributes) -> Select[Any]:
    rows = union_all(_invalid_rows(plan), _undecided_by_address(plan), _writing_rows(plan, attributes)).subquery()
    return select(*(rows.c[column.name] for column in _PLAN_COLUMNS))


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


def _writing_rows(plan: PlanInput, attributes: _Attributes) -> Select[Any]:
    """Rows that create, update or find everything as it is (R5, R6, R33)."""
    rules = plan.options.update_rules
    custom = _free_changes(plan, attributes.custom)
    member = _free_changes(plan, attributes.member)
    email, mobile = (is_changed(BY_FIELD[field], rules) for field in ("email", "mobile_number"))
    hint = near_miss_hint(staged_row.c.identifier)
    hint = case((hint.is_not(None), sentence(plan.file, staged_row.c.row, hint)))
    written = (
        select(
            staged_row.c.row,
            contact.c.contact_id,
            contact.c.version,
            _changes(plan, attributes, custom, member).label("changes"),
            custom.c["values"].label("custom"),
            case((email, staged_row.c.email_key)).label("email_key"),
            case((mobile, staged_row.c.mobile_key)).label("mobile_key"),
            member.c["values"].label("member"),
            func.nullif(func.concat_ws(" ", staged_row.c.warning, hint), "").label("message"),
        )
        .join_from(staged_row, decision, decision.c.row == staged_row.c.row)
        .outerjoin(address_rejection, address_rejection.c.row == staged_row.c.row)
        .outerjoin(contact, contact.c.contact_id == decision.c.contact_id)
        .outerjoin(
            membership,
            and_(membership.c.contact_id == contact.c.contact_id, membership.c.group_id == plan.group_id),
        )
        .outerjoin(near_miss, near_miss.c.row == staged_row.c.row)
        .join(custom, true())
        .join(member, true())
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
            message=written.c.message,
            contact_id=written.c.contact_id,
            contact_version=written.c.version,
            changes=func.nullif(written.c.changes, EMPTY),
            custom=written.c.custom,
            email_key=written.c.email_key,
            mobile_key=written.c.mobile_key,
            member=written.c.member,
        )
    )


def _free_changes(plan: PlanInput, attributes: FreeAttributes) -> FromClause:
    is_in_file = any(field.startswith(attributes.prefix) for field in plan.summary.columns.values())
    if not is_in_file or plan.options.mode_rules.is_leaving:
        return no_free_changes(attributes.prefix)
    return free_changes(attributes, plan.options.update_rules)


def _changes(plan: PlanInput, attributes: _Attributes, custom: FromClause, member: FromClause) -> ColumnElement[Any]:
    """What a row changes, as the import mode lets it (R20)."""
    mode = plan.options.mode_rules
    if mode.is_leaving:
        return leaving(plan.group_name, attributes.member.names)
    profile = _merged(profile_changes(plan.options.update_rules), func.coalesce(custom.c.changes, EMPTY))
    if not mode.writes_profiles:
        profile = case(
            (decision.c.contact_id.is_(None), profile), (decision.c.is_linked, identifier_change()), else_=EMPTY
        )
    joined: ColumnElement[Any] = EMPTY
    if mode.takes_contacts:
        joined = case((membership.c.contact_id.is_(None), joining(plan.group_name)), else_=EMPTY)
    return _merged(profile, joined, func.coalesce(member.c.changes, EMPTY))


def _merged(*objects: ColumnElement[Any]) -> ColumnElement[Any]:
    first, *others = objects
    for other in others:
        first = first.op("||", return_type=JSONB())(other)
    return first


def _labelled(plan: PlanInput, **values: object):  # type: ignore[no-untyped-def]
    """The columns that a plan fills in their order, null where no value is given."""
    values["import_id"] = literal(plan.import_id)
    return [cast(values.get(column.name, null()), column.type).label(column.name) for column in _PLAN_COLUMNS]
