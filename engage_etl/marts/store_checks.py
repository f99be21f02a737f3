"""What is looked for in the whole store, after the marts are built: identifiers and addresses that several contacts share.

Here and not in an import, which must not wait for a look at a million contacts. Each is one statement; where they
list contacts, it is a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    column,
    false,
    func,
    literal,
    or_,
    select,
    table,
)

from engage_etl.store.readers import MARTS
from engage_etl.store.tables import SCHEMA, contact
from engage_etl.vocabulary.masking import mask

_duplicates = table(
    "duplicate_identifiers",
    column("identifier"),
    column("contacts"),
    column("contact_ids"),
    column("since"),
    column("since_import_id"),
    schema=MARTS,
)
_indexes = table("pg_index", column("indexrelid"), column("indisvalid"), column("indisunique"), schema="pg_catalog")
_MOST_CONTACTS = 10
"""Contacts named for each identifier in the examples."""
_UNIQUE_INDEXES = ("uq_contact_email_key", "uq_contact_mobile_key")


@dataclass(frozen=True)
class StoreFinding:
    """What a look at the store has found. sentence: for people; numbers: to plot; examples: a few, masked (R41)."""

    is_good: bool
    sentence: str
    numbers: Mapping[str, int]
    examples: Sequence[Mapping[str, str]] = field(default_factory=list)


def duplicate_identifiers(connection: Connection, most: int) -> StoreFinding:
    """Identifiers that several contacts hold, as the mart of that name has them, those that came last first (R8).

    most: examples. Identifiers are masked, though R41 does not ask for it: an erasure looks for a person in the runs of
    imports, and not in those that build the marts.
    """
    found = _duplicates.c
    counts = connection.execute(
        select(func.count(), func.coalesce(func.sum(found.contacts), 0)).select_from(_duplicates)
    ).one()
    identifiers, contacts = int(counts[0]), int(counts[1])
    newest = select(_duplicates).order_by(found.since.desc().nulls_last(), found.identifier).limit(most)
    examples = [
        {
            "identifier": mask(row.identifier),
            "contacts": ", ".join(str(contact_id) for contact_id in row.contact_ids[:_MOST_CONTACTS]),
            "of": str(row.contacts),
            "since": f"{row.since:%Y-%m-%d %H:%M} UTC" if row.since else "unknown",
            "since_import": row.since_import_id or "no import",
        }
        for row in connection.execute(newest)
    ]
    sentence = "No two contacts have the same identifier."
    if identifiers:
        sentence = (
            f"{identifiers:,} {'identifier is' if identifiers == 1 else 'identifiers are'} held by {contacts:,} contacts; rows "
            "with one of them are rejected as identifier_ambiguous."
        )
    return StoreFinding(not identifiers, sentence, {"identifiers": identifiers, "contacts": contacts}, examples)


def shared_addresses(connection: Connection, most: int) -> StoreFinding:
    """Whether anything lets two contacts have the same address: a unique index that lacks, or a wrong comparison form.

    With both as they should be there are no such contacts (R11, R13). Other programs that write an address and not its
    form make wrong ones; of addresses that are not ASCII, Python knows the form and the server does not.
    """
    email, mobile = _email_is_wrong(), _mobile_is_wrong()
    counts = connection.execute(
        select(func.count(), func.count().filter(email), func.count().filter(mobile)).select_from(contact)
    ).one()
    numbers = {
        "contacts": int(counts[0]),
        "wrong_email_forms": int(counts[1]),
        "wrong_mobile_forms": int(counts[2]),
        "unique_indexes_lacking": len(_UNIQUE_INDEXES) - (connection.scalar(_valid_indexes()) or 0),
    }
    wrong = numbers["wrong_email_forms"] + numbers["wrong_mobile_forms"]
    examples: list[dict[str, str]] = []
    if wrong:
        some = select(contact.c.contact_id).where(or_(email, mobile)).order_by(contact.c.contact_id).limit(most)
        examples = [{"contact": str(found.contact_id)} for found in connection.execute(some)]
    lacking = numbers["unique_indexes_lacking"]
    parts = [
        *([f"{wrong:,} comparison forms are not those of their addresses"] if wrong else []),
        *([f"{lacking} of the unique indexes on addresses lack or are not valid"] if lacking else []),
    ]
    sentence = f"Two contacts may have the same address: {'; '.join(parts)}." if parts else "Every address is unique."
    return StoreFinding(not parts, sentence, numbers, examples)


def _email_is_wrong() -> ColumnElement[bool]:
    address = contact.c.email
    is_ascii = func.octet_length(address) == func.char_length(address)
    return func.coalesce(and_(is_ascii, contact.c.email_key != func.lower(address)), false())


def _mobile_is_wrong() -> ColumnElement[bool]:
    number: ColumnElement[str] = contact.c.mobile_number
    form = case((func.starts_with(number, "+"), func.substr(number, 2)), else_=number)
    return func.coalesce(contact.c.mobile_key != form, false())


def _valid_indexes() -> Select[int]:
    names = [func.to_regclass(literal(f"{SCHEMA}.{name}")) for name in _UNIQUE_INDEXES]
    return (
        select(func.count())
        .select_from(_indexes)
        .where(or_(*(_indexes.c.indexrelid == name for name in names)), _indexes.c.indisvalid, _indexes.c.indisunique)
    )
