"""Which contact each valid row is about: duplicates in the file, then matching (steps 2 and 3 of the reasons)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Text,
    and_,
    case,
    cast,
    delete,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from engage_etl.match_plan.linking import link_unidentified
from engage_etl.match_plan.messages import IDENTIFIER_SHOWN, sentence
from engage_etl.match_plan.working_tables import decision, staged_row
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import KEY_COLUMNS, contact
from engage_etl.vocabulary.attributes import ADDRESSES, IDENTIFIER
from engage_etl.vocabulary.options import Duplicates, ImportOptions
from engage_etl.vocabulary.outcomes import Reason

IDS_NAMED = 20
"""How many contact ids a message lists at the most (R8)."""

_DECIDED = ["row", "contact_id", "reason", "message", "is_linked"]

MATCHED_ON = {IDENTIFIER: contact.c.identifier} | {field: contact.c[key] for field, key in KEY_COLUMNS.items()}
"""What a row is matched on, and the column that is compared (R1, R3, R13)."""


@dataclass(frozen=True)
class Matching:
    """What matching needs to know. file: name for messages; kinds: what the rows are matched on, all in the file."""

    file: str
    options: ImportOptions
    kinds: tuple[str, ...]


def decide_rows(connection: Connection, file: str, options: ImportOptions) -> None:
    """Fill ``decision``: for each valid row the contact it is about, or why there is none."""
    found = select(staged_row.c.match_kind).distinct().order_by(staged_row.c.match_kind)
    kinds: tuple[str, ...] = tuple(connection.scalars(found))
    matching = Matching(file, options, kinds)
    if not kinds:
        return
    _insert_decisions(connection, matching)
    if len(kinds) > 1:
        _supersede_rows_of_one_contact(connection, matching)
    if options.link_unidentified and options.use_external_identifier and options.mode_rules.creates:
        link_unidentified(connection)
    analyze(connection, decision)


def _insert_decisions(connection: Connection, matching: Matching) -> None:
    """The file's duplicates and the contacts that match are joined to the rows, in one pass."""
    keys, matches = _repeated_keys(), _matches(matching.kinds)
    row = staged_row.c.row
    is_replaced: ColumnElement[bool] = keys.c.last_row.is_not(None)
    if matching.options.duplicates is Duplicates.LAST:
        is_replaced = keys.c.last_row > row
    is_nobody = and_(matches.c.contact_id.is_(None), ~has_address())
    reason = case(
        (is_replaced, literal(_duplicate_reason(matching).value)),
        (is_nobody, literal(Reason.NO_STANDARD_IDENTIFIER.value)),
    )
    message = case((is_replaced, _duplicate_message(matching, keys)), (is_nobody, _nobody_message(matching)))
    decided = select(row, matches.c.contact_id, reason, message, false()).select_from(
        staged_row.outerjoin(keys, _has_same_key(keys)).outerjoin(
            matches, and_(_has_same_key(matches), is_replaced.is_not(True))
        )
    )
    statement = insert(decision).from_select(_DECIDED, decided).execution_options(preserve_rowcount=True)
    lines = connection.execute(statement).rowcount
    if lines > (connection.scalar(select(func.count()).select_from(staged_row)) or 0):
        _reject_ambiguous_rows(connection, matching)


def _reject_ambiguous_rows(connection: Connection, matching: Matching) -> None:
    """Rows that several contacts match have got a line for each of them, and get one that says so instead (R8)."""
    several = (
        select(decision.c.row, func.count().label("contacts"))
        .group_by(decision.c.row)
        .having(func.count() > 1)
        .subquery("several")
    )
    reason, message = literal(Reason.IDENTIFIER_AMBIGUOUS.value), _ambiguous_message(matching, several.c.contacts)
    rejected = select(several.c.row, null(), reason, message, false()).join(
        staged_row, staged_row.c.row == several.c.row
    )
    connection.execute(insert(decision).from_select(_DECIDED, rejected))
    ambiguous = select(decision.c.row).where(decision.c.reason == reason)
    connection.execute(delete(decision).where(decision.c.contact_id.is_not(None), decision.c.row.in_(ambiguous)))


def has_address() -> ColumnElement[bool]:
    """Whether a staged row has a standard identifier (R6, R7)."""
    return or_(*(staged_row.c[address.field] != "" for address in ADDRESSES)).is_(True)


def _repeated_keys() -> FromClause:
    """Match keys that stand in several rows of the file, with the first and the last of these (R10)."""
    return (
        select(
            staged_row.c.match_kind,
            staged_row.c.match_key,
            func.min(staged_row.c.row).label("first_row"),
            func.max(staged_row.c.row).label("last_row"),
        )
        .group_by(staged_row.c.match_kind, staged_row.c.match_key)
        .having(func.count() > 1)
        .subquery("repeated_key")
    )


def _matches(kinds: tuple[str, ...]) -> FromClause:
    """The contacts by what rows are matched on."""
    queries = [
        select(literal(kind).label("match_kind"), MATCHED_ON[kind].label("match_key"), contact.c.contact_id)
        for kind in kinds
    ]
    return union_all(*queries).subquery("matched")


def _has_same_key(others: FromClause) -> ColumnElement[bool]:
    return and_(others.c.match_kind == staged_row.c.match_kind, others.c.match_key == staged_row.c.match_key)


def _supersede_rows_of_one_contact(connection: Connection, matching: Matching) -> None:
    """Rows with different keys that match the same contact count as rows with one key (decision 0004, R3, R10)."""
    last = (
        select(
            decision.c.contact_id,
            func.min(decision.c.row).label("first_row"),
            func.max(decision.c.row).label("last_row"),
        )
        .where(decision.c.contact_id.is_not(None))
        .group_by(decision.c.contact_id)
        .having(func.count() > 1)
        .subquery("repeated_contact")
    )
    replaced = update(decision).where(decision.c.contact_id == last.c.contact_id)
    if matching.options.duplicates is Duplicates.LAST:
        replaced = replaced.where(decision.c.row < last.c.last_row)
    connection.execute(
        replaced.values(
            contact_id=None,
            reason=_duplicate_reason(matching).value,
            message=_duplicate_message(matching, last, decision.c.row),
        )
    )


def _duplicate_reason(matching: Matching) -> Reason:
    return Reason.SUPERSEDED if matching.options.duplicates is Duplicates.LAST else Reason.DUPLICATE_IN_FILE


def _key_name(matching: Matching) -> str:
    return "identifier" if matching.options.use_external_identifier else "address"


def _duplicate_message(
    matching: Matching, repeated: FromClause, row: ColumnElement[int] = staged_row.c.row
) -> ColumnElement[str]:
    if matching.options.duplicates is Duplicates.LAST:
        return sentence(
            matching.file,
            row,
            "replaced by row ",
            repeated.c.last_row,
            f", the last one with this {_key_name(matching)}.",
        )
    other = case((row == repeated.c.last_row, repeated.c.first_row), else_=repeated.c.last_row)
    return sentence(
        matching.file,
        row,
        "row ",
        other,
        f" has the same {_key_name(matching)}; leave one row for each and import it again.",
    )


def _shown_key() -> ColumnElement[str]:
    """An identifier as messages name it: it is no personal data (R41), but may be long."""
    return func.left(staged_row.c.match_key, IDENTIFIER_SHOWN)


def _ambiguous_message(matching: Matching, contacts: ColumnElement[int]) -> ColumnElement[str]:
    first = (
        select(contact.c.contact_id)
        .where(contact.c.identifier == staged_row.c.match_key)
        .order_by(contact.c.contact_id)
        .limit(IDS_NAMED)
        .correlate(staged_row)
        .subquery("first_holder")
    )
    ids = select(func.string_agg(cast(first.c.contact_id, Text), aggregate_order_by(literal(", "), first.c.contact_id)))
    more = case((contacts > IDS_NAMED, func.concat(" and ", contacts - IDS_NAMED, " more")), else_="")
    return sentence(
        matching.file,
        staged_row.c.row,
        "identifier ",
        _shown_key(),
        " belongs to ",
        contacts,
        " contacts (ids ",
        ids.scalar_subquery(),
        more,
        "); nothing was changed. Give each of them an identifier of its own and import the row again.",
    )


def _nobody_message(matching: Matching) -> ColumnElement[str]:
    return sentence(
        matching.file,
        staged_row.c.row,
        "no contact has identifier ",
        _shown_key(),
        ", and the row has no e-mail address, mobile number or alias to create one with. "
        "Correct the identifier, or add an address.",
    )
