"""A slow reference of R1-R13, R19-R21 and R33: row by row, in plain Python, written from the spec for the tests alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

FIELDS = ("identifier", "email", "mobile_number", "app_alias", "first_name")
ADDRESSES = ("email", "mobile_number", "app_alias")
MEMBERS, CONTACTS, NEW = "members", "contacts", "new"
TAKEN = {
    "add": {CONTACTS, NEW},
    "add-contacts-as-members": {CONTACTS},
    "update-current-members": {MEMBERS},
    "add-and-update": {MEMBERS, CONTACTS, NEW},
    "replace": {MEMBERS, CONTACTS, NEW},
    "remove": {MEMBERS},
}
"""Which rows each import mode does not ignore (R20)."""

WRITES_PROFILES = {"update-current-members", "add-and-update", "replace"}


@dataclass(frozen=True)
class Contact:
    """A stored contact; None: no value."""

    contact_id: int
    values: dict[str, str]
    is_member: bool
    is_unsubscribed: bool = False
    is_deactivated: bool = False


@dataclass(frozen=True)
class Given:
    """How the rows are imported; key: the column that rows are matched on."""

    key: str
    group: str
    mode: str = "add-and-update"
    rule: str = "if-new-not-blank"
    rejects_duplicates: bool = False
    links: bool = False
    ignores_unsubscribed: bool = False
    ignores_deactivated: bool = False


@dataclass(frozen=True)
class Decided:
    """What becomes of a row."""

    outcome: str
    reason: str | None = None
    contact_id: int | None = None
    changes: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """The contact that a row is about, None: nobody; is_linked: by R12."""

    contact: Contact | None
    is_linked: bool = False


Rows = dict[int, dict[str, str]]
Plan = dict[int, Decided]


def compared(name: str, value: str) -> str:
    """R13."""
    return {"email": value.lower(), "mobile_number": value.removeprefix("+")}.get(name, value)


def holds(contact: Contact, name: str, value: str) -> bool:
    """Whether a contact has a value, compared as R4 and R13 say."""
    return bool(value) and name in contact.values and compared(name, contact.values[name]) == compared(name, value)


def plan(contacts: list[Contact], rows: Rows, given: Given) -> Plan:
    """What becomes of each row, by row number."""
    decided: Plan = {}
    for number, row in rows.items():
        if not row[given.key]:
            reason = "identifier_missing" if given.key == "identifier" else "address_missing"
            decided[number] = Decided("rejected", reason)
    _duplicates(rows, decided, given)
    matched = _match(contacts, rows, decided, given)
    if given.links and given.key == "identifier" and NEW in TAKEN[given.mode]:
        _link(contacts, rows, decided, matched)
    _leave_out(decided, matched, given)
    _lost_addresses(rows, decided, matched, given)
    _addresses(contacts, rows, decided, matched, given)
    for number, row in rows.items():
        if number not in decided:
            decided[number] = _written(row, matched[number], given)
    return decided


def leavers(contacts: list[Contact], rows: Rows, given: Given) -> set[int]:
    """Members that ``replace`` takes out of the group (R20)."""
    if given.mode != "replace" or not rows or any(not row[given.key] for row in rows.values()):
        return set()
    matched = _match(contacts, rows, {}, replace(given, rejects_duplicates=False))
    if given.links and given.key == "identifier":
        decided: Plan = {}
        _duplicates(rows, decided, given)
        linked = _match(contacts, rows, decided, given)
        _link(contacts, rows, decided, linked)
        matched |= linked
    present = {match.contact.contact_id for match in matched.values() if match.contact is not None}
    present |= {
        contact.contact_id for contact in contacts for row in rows.values() if holds(contact, given.key, row[given.key])
    }
    return {
        contact.contact_id
        for contact in contacts
        if contact.is_member
        and contact.contact_id not in present
        and not (given.ignores_unsubscribed and contact.is_unsubscribed)
        and not (given.ignores_deactivated and contact.is_deactivated)
    }


def _duplicates(rows: Rows, decided: Plan, given: Given) -> None:
    by_key: dict[str, list[int]] = defaultdict(list)
    for number, row in rows.items():
        if number not in decided:
            by_key[compared(given.key, row[given.key])].append(number)
    for numbers in by_key.values():
        if len(numbers) > 1 and given.rejects_duplicates:
            decided.update(dict.fromkeys(numbers, Decided("rejected", "duplicate_in_file")))
        elif len(numbers) > 1:
            decided.update(dict.fromkeys(numbers[:-1], Decided("skipped", "superseded")))


def _match(contacts: list[Contact], rows: Rows, decided: Plan, given: Given) -> dict[int, Match]:
    matched: dict[int, Match] = {}
    for number, row in rows.items():
        if number in decided:
            continue
        found = [contact for contact in contacts if holds(contact, given.key, row[given.key])]
        if len(found) > 1:
            decided[number] = Decided("rejected", "identifier_ambiguous")
        elif not found and not any(row[name] for name in ADDRESSES):
            decided[number] = Decided("skipped", "no_standard_identifier")
        else:
            matched[number] = Match(found[0] if found else None)
    return matched


def _link(contacts: list[Contact], rows: Rows, decided: Plan, matched: dict[int, Match]) -> None:
    """R12: one contact for the row, and one row for the contact."""
    meant: dict[int, list[Contact]] = {}
    for number, match in matched.items():
        if match.contact is None and number not in decided:
            meant[number] = [
                contact
                for contact in contacts
                if "identifier" not in contact.values
                and any(holds(contact, name, rows[number][name]) for name in ADDRESSES)
            ]
    for number, found in meant.items():
        if len(found) == 1 and sum(found[0] in others for others in meant.values()) == 1:
            matched[number] = Match(found[0], is_linked=True)


def _leave_out(decided: Plan, matched: dict[int, Match], given: Given) -> None:
    for number, match in matched.items():
        contact = match.contact
        kind = NEW if contact is None or match.is_linked else MEMBERS if contact.is_member else CONTACTS
        contact_id = contact.contact_id if contact else None
        if kind not in TAKEN[given.mode]:
            decided[number] = Decided("skipped", "not_in_mode", contact_id)
        elif contact and contact.is_member and contact.is_unsubscribed and given.ignores_unsubscribed:
            decided[number] = Decided("skipped", "unsubscribed", contact_id)
        elif contact and contact.is_deactivated and given.ignores_deactivated:
            decided[number] = Decided("skipped", "deactivated", contact_id)


def _after(name: str, row: dict[str, str], match: Match, given: Given) -> str | None:
    """The value of a field after the row is written (R19, R20, R12)."""
    before = match.contact.values.get(name) if match.contact else None
    if match.contact is not None and given.mode not in WRITES_PROFILES:
        return row[name] if match.is_linked and name == "identifier" else before
    if given.rule == "always":
        return row[name] or None
    if given.rule == "if-stored-blank" and before is not None:
        return before
    return row[name] or before


def _lost_addresses(rows: Rows, decided: Plan, matched: dict[int, Match], given: Given) -> None:
    for number, match in matched.items():
        if number in decided or match.contact is None:
            continue
        had = any(name in match.contact.values for name in ADDRESSES)
        if had and not any(_after(name, rows[number], match, given) for name in ADDRESSES):
            decided[number] = Decided("rejected", "address_required", match.contact.contact_id)


def _addresses(contacts: list[Contact], rows: Rows, decided: Plan, matched: dict[int, Match], given: Given) -> None:
    """R11, in rounds over the rows that would create or update, until a round rejects nothing."""
    while True:
        alive = {number: match for number, match in matched.items() if number not in decided}
        rejected: Plan = {}
        for number, match in alive.items():
            reasons = [
                reason
                for name in ADDRESSES
                if (reason := _conflict(name, number, alive, contacts, rows, given)) is not None
            ]
            if reasons:
                reason = "address_in_use" if "address_in_use" in reasons else reasons[0]
                rejected[number] = Decided("rejected", reason, match.contact.contact_id if match.contact else None)
        if not rejected:
            return
        decided.update(rejected)


def _conflict(
    name: str, number: int, alive: dict[int, Match], contacts: list[Contact], rows: Rows, given: Given
) -> str | None:
    taken = _takes(name, rows[number], alive[number], given)
    if taken is None:
        return None
    for holder in contacts:
        if name in holder.values and compared(name, holder.values[name]) == taken:
            own = [other for other, match in alive.items() if match.contact is holder]
            after = [_after(name, rows[other], alive[other], given) for other in own]
            if all(value is not None and compared(name, value) == taken for value in after):
                return "address_in_use"
    if any(other != number and _takes(name, rows[other], match, given) == taken for other, match in alive.items()):
        return "address_claimed_twice"
    return None


def _takes(name: str, row: dict[str, str], match: Match, given: Given) -> str | None:
    """The address that a row takes: its contact does not hold it yet."""
    wanted = _after(name, row, match, given)
    held = match.contact.values.get(name) if match.contact else None
    if wanted is None or (held is not None and compared(name, held) == compared(name, wanted)):
        return None
    return compared(name, wanted)


def _written(row: dict[str, str], match: Match, given: Given) -> Decided:
    contact = match.contact
    before = contact.values if contact else {}
    if given.mode == "remove":
        assert contact is not None
        return Decided("updated", None, contact.contact_id, {"groups": [given.group, None]})
    changes: dict[str, list[Any]] = {
        name: [before.get(name), after]
        for name in FIELDS
        if (after := _after(name, row, match, given)) != before.get(name)
    }
    if contact is None or not contact.is_member:
        changes["groups"] = [None, given.group]
    if contact is None:
        return Decided("created", None, None, changes)
    return Decided("updated" if changes else "unchanged", None, contact.contact_id, changes)


def after(contacts: list[Contact], decided: Plan, leaving: set[int]) -> list[tuple[dict[str, str], bool]]:
    """The values of all contacts after the plan is applied, and whether each is a member, in no order."""
    values = {contact.contact_id: dict(contact.values) for contact in contacts}
    member = {contact.contact_id: contact.is_member for contact in contacts} | dict.fromkeys(leaving, False)
    created: list[tuple[dict[str, str], bool]] = []
    for row in decided.values():
        new = {name: change[1] for name, change in row.changes.items() if name != "groups"}
        if row.outcome == "created":
            created.append((new, True))
        elif row.outcome == "updated" and row.contact_id is not None:
            kept = {name: value for name, value in values[row.contact_id].items() if name not in new}
            values[row.contact_id] = kept | {name: value for name, value in new.items() if value is not None}
            if "groups" in row.changes:
                member[row.contact_id] = row.changes["groups"][1] is not None
    return [(values[key], member[key]) for key in values] + created
