"""A slow reference of R1-R13, R19 and R33: row by row, in plain Python, written from the spec for the tests alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

FIELDS = ("identifier", "email", "mobile_number", "app_alias", "first_name")
ADDRESSES = ("email", "mobile_number", "app_alias")


@dataclass(frozen=True)
class Contact:
    """A stored contact; None: no value."""

    contact_id: int
    values: dict[str, str]
    is_member: bool


@dataclass(frozen=True)
class Decided:
    """What becomes of a row."""

    outcome: str
    reason: str | None = None
    contact_id: int | None = None
    changes: dict[str, list[Any]] = field(default_factory=dict)


def compared(name: str, value: str) -> str:
    """R13."""
    return {"email": value.lower(), "mobile_number": value.removeprefix("+")}.get(name, value)


def plan(
    contacts: list[Contact], rows: dict[int, dict[str, str]], *, key: str, group: str, rejects_duplicates: bool = False
) -> dict[int, Decided]:
    """What becomes of each row, by row number; key: the column that rows are matched on."""
    decided: dict[int, Decided] = {}
    for number, row in rows.items():
        if not row[key]:
            reason = "identifier_missing" if key == "identifier" else "address_missing"
            decided[number] = Decided("rejected", reason)
    _duplicates(rows, decided, key, rejects_duplicates)
    matched = _match(contacts, rows, decided, key)
    _addresses(contacts, rows, decided, matched)
    for number, row in rows.items():
        if number not in decided:
            decided[number] = _written(row, matched[number], group)
    return decided


def _duplicates(rows: dict[int, dict[str, str]], decided: dict[int, Decided], key: str, rejects: bool) -> None:
    by_key: dict[str, list[int]] = defaultdict(list)
    for number, row in rows.items():
        if number not in decided:
            by_key[compared(key, row[key])].append(number)
    for numbers in by_key.values():
        if len(numbers) > 1 and rejects:
            decided.update(dict.fromkeys(numbers, Decided("rejected", "duplicate_in_file")))
        elif len(numbers) > 1:
            decided.update(dict.fromkeys(numbers[:-1], Decided("skipped", "superseded")))


def _match(
    contacts: list[Contact], rows: dict[int, dict[str, str]], decided: dict[int, Decided], key: str
) -> dict[int, Contact | None]:
    matched: dict[int, Contact | None] = {}
    for number, row in rows.items():
        if number in decided:
            continue
        found = [
            contact
            for contact in contacts
            if key in contact.values and compared(key, contact.values[key]) == compared(key, row[key])
        ]
        if len(found) > 1:
            decided[number] = Decided("rejected", "identifier_ambiguous")
        elif not found and not any(row[name] for name in ADDRESSES):
            decided[number] = Decided("skipped", "no_standard_identifier")
        else:
            matched[number] = found[0] if found else None
    return matched


def _addresses(
    contacts: list[Contact],
    rows: dict[int, dict[str, str]],
    decided: dict[int, Decided],
    matched: dict[int, Contact | None],
) -> None:
    """R11, in rounds over the rows that would create or update, until a round rejects nothing."""
    while True:
        alive = [number for number in matched if number not in decided]
        rejected: dict[int, Decided] = {}
        for number in alive:
            reasons = [
                reason
                for name in ADDRESSES
                if (reason := _conflict(name, number, alive, contacts, rows, matched)) is not None
            ]
            if reasons:
                contact = matched[number]
                reason = "address_in_use" if "address_in_use" in reasons else reasons[0]
                rejected[number] = Decided("rejected", reason, contact.contact_id if contact else None)
        if not rejected:
            return
        decided.update(rejected)


def _conflict(
    name: str,
    number: int,
    alive: list[int],
    contacts: list[Contact],
    rows: dict[int, dict[str, str]],
    matched: dict[int, Contact | None],
) -> str | None:
    taken = _takes(name, rows[number], matched[number])
    if taken is None:
        return None
    for holder in contacts:
        if name in holder.values and compared(name, holder.values[name]) == taken:
            own_rows = [other for other in alive if matched[other] is holder]
            releases = any(_takes(name, rows[other], holder) is not None for other in own_rows)
            if not releases:
                return "address_in_use"
    if any(other != number and _takes(name, rows[other], matched[other]) == taken for other in alive):
        return "address_claimed_twice"
    return None


def _takes(name: str, row: dict[str, str], contact: Contact | None) -> str | None:
    """The address that a row takes: its contact does not hold it yet."""
    if not row[name]:
        return None
    wanted = compared(name, row[name])
    held = contact.values.get(name) if contact else None
    return None if held is not None and compared(name, held) == wanted else wanted


def _written(row: dict[str, str], contact: Contact | None, group: str) -> Decided:
    before = contact.values if contact else {}
    changes: dict[str, list[Any]] = {
        name: [before.get(name), row[name]] for name in FIELDS if row[name] and before.get(name) != row[name]
    }
    if contact is None or not contact.is_member:
        changes["groups"] = [None, group]
    if contact is None:
        return Decided("created", None, None, changes)
    return Decided("updated" if changes else "unchanged", None, contact.contact_id, changes)


def after(contacts: list[Contact], decided: dict[int, Decided]) -> list[dict[str, str]]:
    """The values of all contacts after the plan is applied, in no order."""
    by_id = {contact.contact_id: replace(contact, values=dict(contact.values)) for contact in contacts}
    created: list[dict[str, str]] = []
    for row in decided.values():
        new = {name: change[1] for name, change in row.changes.items() if name != "groups"}
        if row.outcome == "created":
            created.append(new)
        elif row.outcome == "updated" and row.contact_id is not None:
            by_id[row.contact_id].values.update(new)
    return [contact.values for contact in by_id.values()] + created
