"""A slow reference of R36: contact by contact, in plain Python, from pictures of the store, for the tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engage_etl_tests.importing import Importing
from engage_etl_tests.match_plan.reference import ADDRESSES, compared

GROUPS, UNSUBSCRIBED = "groups", "unsubscribed"
Contact = dict[str, Any]
Picture = dict[int, Contact]


@dataclass
class Expected:
    """What a revert leaves, and its counts."""

    contacts: Picture
    restored: int = 0
    kept: int = 0
    failed: int = 0


@dataclass
class _Work:
    """What is to be restored. fields: by contact; whole: contacts that go (None) or come back."""

    fields: dict[int, Contact] = field(default_factory=dict)
    whole: dict[int, Contact | None] = field(default_factory=dict)


def picture(importing: Importing) -> tuple[Picture, dict[int, int]]:
    """All contacts with all their values by name, values that lack left out; and their versions."""
    contacts: Picture = {}
    versions = {}
    for found in importing.contacts():
        values = {
            name: found[name]
            for name in (*ADDRESSES, "identifier", "first_name", "title", "date_of_birth")
            if found[name] is not None
        }
        values |= {f"custom.{name}": value for name, value in found["custom"].items()}
        for membership in found["memberships"]:
            values |= {GROUPS: membership["group"], UNSUBSCRIBED: membership["unsubscribed_at"] is not None}
            values |= {f"member.{name}": value for name, value in membership["attributes"].items()}
        contacts[found["contact_id"]] = values
        versions[found["contact_id"]] = found["version"]
    return contacts, versions


def reverted(before: Picture, after: Picture, now: Picture, touched: set[int]) -> Expected:
    """What a revert of an import makes of the store.

    before, after: around the import; now: before the revert; touched: contacts that somebody changed since, and whose
    change was not itself taken back.
    """
    expected, work = Expected(now), _Work()
    for contact_id in sorted(before.keys() | after.keys()):
        was, given, current = before.get(contact_id), after.get(contact_id), now.get(contact_id)
        if was is not None and given is not None:
            for name in _changed(was, given):
                if _is_kept(name, was, given, current):
                    expected.kept += 1
                else:
                    work.fields.setdefault(contact_id, {})[name] = was.get(name)
        elif was is not given:
            is_kept = current is not None if given is None else current != given or contact_id in touched
            if is_kept:
                expected.kept += 1
            else:
                work.whole[contact_id] = was
    expected.failed = _fail_addresses(work, now)
    expected.restored = len(work.whole) + sum(map(len, work.fields.values()))
    expected.contacts = _after(work, now, before)
    return expected


def _changed(was: Contact, given: Contact) -> Iterator[str]:
    for name in sorted((was.keys() | given.keys()) - {UNSUBSCRIBED}):
        if was.get(name) != given.get(name):
            yield name


def _is_kept(name: str, was: Contact, given: Contact, current: Contact | None) -> bool:
    if current is None or current.get(name) != given.get(name):
        return True
    if name == GROUPS and GROUPS in given:
        is_unsubscribed = current[UNSUBSCRIBED] and not given[UNSUBSCRIBED]
        return _member_values(current) != _member_values(given) or is_unsubscribed
    return name.startswith("member.") and GROUPS not in current and was.get(GROUPS) == given.get(GROUPS)


def _member_values(values: Contact) -> Contact:
    return {name: value for name, value in values.items() if name.startswith("member.")}


def _fail_addresses(work: _Work, now: Picture) -> int:
    """R11, R19: in rounds over the contacts that get addresses back or lose them, until none fails."""
    failed = 0
    while True:
        after = _after(work, now, {})
        failing = [contact_id for contact_id in {*work.fields, *work.whole} if _fails(contact_id, work, now, after)]
        if not failing:
            return failed
        for contact_id in failing:
            if contact_id in work.whole:
                del work.whole[contact_id]
                failed += 1
            for name in ADDRESSES:
                if name in work.fields.get(contact_id, {}):
                    del work.fields[contact_id][name]
                    failed += 1


def _fails(contact_id: int, work: _Work, now: Picture, after: Picture) -> bool:
    wanted = work.whole.get(contact_id) or work.fields.get(contact_id, {})
    addresses = {name: wanted[name] for name in ADDRESSES if name in wanted}
    if not addresses:
        return False
    if None in addresses.values() and not any(after[contact_id].get(name) for name in ADDRESSES):
        return True
    return any(
        value is not None and not _same(name, value, now.get(contact_id, {})) and _same(name, value, other)
        for name, value in addresses.items()
        for other_id, other in after.items()
        if other_id != contact_id
    )


def _same(name: str, value: str, contact: Contact) -> bool:
    return name in contact and compared(name, contact[name]) == compared(name, value)


def _after(work: _Work, now: Picture, before: Picture) -> Picture:
    contacts = {contact_id: dict(values) for contact_id, values in now.items()}
    for contact_id, values in work.fields.items():
        contact = contacts[contact_id] | values
        if GROUPS in values:
            contact[UNSUBSCRIBED] = before.get(contact_id, {}).get(UNSUBSCRIBED, False) if values[GROUPS] else None
        contacts[contact_id] = {name: value for name, value in contact.items() if value is not None}
    for contact_id, was in work.whole.items():
        if was is None:
            del contacts[contact_id]
        else:
            contacts[contact_id] = dict(was)
    return contacts
