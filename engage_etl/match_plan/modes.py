"""Which of the matched and new rows the import mode and the switches take (R20, R21; the last of the reasons of step 3)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, case, false, literal, or_, select, update

from engage_etl.match_plan.messages import sentence
from engage_etl.match_plan.working_tables import decision
from engage_etl.store.tables import contact, membership
from engage_etl.vocabulary.choices import ImportMode
from engage_etl.vocabulary.import_modes import ModeRules
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Reason

_WHO = {
    "member": "the contact is a member of the group",
    "contact": "the contact is no member",
    "new": "nobody matches",
}
_ADVICE = {
    "member": "choose a mode that updates members, like add-and-update, if that is not meant",
    "contact": "choose a mode that adds contacts, like add-and-update, if that is not meant",
    "new": "choose a mode that creates contacts, like add-and-update, if that is not meant",
}


def leave_out_rows(connection: Connection, file: str, options: ImportOptions, group_id: int) -> None:
    """Skip the rows that the mode or a switch leaves out; what is decided already stays."""
    if options.mode_rules.takes_all and not (options.ignore_unsubscribed or options.ignore_deactivated):
        return
    found = (
        select(
            decision.c.row,
            contact.c.contact_id,
            membership.c.contact_id.is_not(None).label("is_member"),
            membership.c.unsubscribed_at,
            contact.c.deactivated_at,
            # A row that is linked is a new one, whose identifier finds a contact (R12).
            or_(contact.c.contact_id.is_(None), decision.c.is_linked).label("is_new"),
        )
        .outerjoin_from(decision, contact, contact.c.contact_id == decision.c.contact_id)
        .outerjoin(membership, and_(membership.c.contact_id == contact.c.contact_id, membership.c.group_id == group_id))
        .where(decision.c.reason.is_(None))
        .subquery("found")
    )
    rules = options.mode_rules
    kind = case((found.c.is_new, "new"), (found.c.is_member, "member"), else_="contact")
    is_unsubscribed = and_(literal(options.ignore_unsubscribed), found.c.unsubscribed_at.is_not(None))
    is_deactivated = and_(literal(options.ignore_deactivated), found.c.deactivated_at.is_not(None))
    is_left_out = kind.in_(_left_out(rules)) if _left_out(rules) else false()
    reason = case(
        (is_left_out, Reason.NOT_IN_MODE.value),
        (is_unsubscribed, Reason.UNSUBSCRIBED.value),
        (is_deactivated, Reason.DEACTIVATED.value),
    )
    message = case(
        (is_left_out, _mode_message(file, decision.c.row, kind, options.import_mode)),
        (
            is_unsubscribed,
            _switch_message(file, decision.c.row, found.c.contact_id, "has left the group", "unsubscribed"),
        ),
        (is_deactivated, _switch_message(file, decision.c.row, found.c.contact_id, "is switched off", "deactivated")),
    )
    connection.execute(
        update(decision)
        .where(decision.c.row == found.c.row, reason.is_not(None))
        .values(reason=reason, message=message)
    )


def _left_out(rules: ModeRules) -> list[str]:
    taken = {"member": rules.takes_members, "contact": rules.takes_contacts, "new": rules.creates}
    return [kind for kind, is_taken in taken.items() if not is_taken]


def _mode_message(file: str, row: ColumnElement[int], kind: ColumnElement[str], mode: ImportMode) -> ColumnElement[str]:
    who, advice = case(_WHO, value=kind), case(_ADVICE, value=kind)
    return sentence(file, row, who, f", and the import mode {mode.value} leaves such rows out; ", advice, ".")


def _switch_message(
    file: str, row: ColumnElement[int], contact_id: ColumnElement[int], what: str, switch: str
) -> ColumnElement[str]:
    return sentence(
        file, row, "contact ", contact_id, f" {what}, and the import leaves such rows out (ignore-{switch})."
    )
