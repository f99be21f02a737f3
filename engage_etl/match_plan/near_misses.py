"""Identifiers that no contact has, but nearly: hints for people, which change no outcome."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, case, func, insert, literal, or_, select

from engage_etl.match_plan.messages import IDENTIFIER_SHOWN
from engage_etl.match_plan.working_tables import decision, near_miss, staged_row
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import contact, near_form
from engage_etl.vocabulary.attributes import IDENTIFIER
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Reason

_MATCHED_NOBODY = (Reason.NO_STANDARD_IDENTIFIER.value, Reason.NOT_IN_MODE.value)


def find_near_misses(connection: Connection, options: ImportOptions) -> None:
    """Fill ``near_miss``: stored identifiers that differ from those of unmatched rows only by case, leading zeros or
    punctuation around them; of several the first.
    """
    if not options.use_external_identifier:
        return
    form = near_form(staged_row.c.identifier)
    near = (
        select(staged_row.c.row, func.min(contact.c.identifier))
        .join_from(staged_row, decision, decision.c.row == staged_row.c.row)
        .join(contact, near_form(contact.c.identifier) == form)
        .where(
            staged_row.c.match_kind == IDENTIFIER,
            decision.c.contact_id.is_(None),
            or_(decision.c.reason.is_(None), decision.c.reason.in_(_MATCHED_NOBODY)),
            form != "",
        )
        .group_by(staged_row.c.row)
    )
    connection.execute(insert(near_miss).from_select(["row", "identifier"], near))
    analyze(connection, near_miss)


def near_miss_hint(given: ColumnElement[str]) -> ColumnElement[str]:
    """The hint of a row, null without one. given: the identifier of the row."""
    there_is = func.concat(
        literal("No contact "), func.left(given, IDENTIFIER_SHOWN), "; ",
        func.left(near_miss.c.identifier, IDENTIFIER_SHOWN), " exists.",
    )  # fmt: skip
    return case((near_miss.c.row.is_not(None), there_is))
