"""The loop that is written first: look the contact up, set its fields, commit now and then.

python -m benchmarks.peers.orm_loop FILE N, on the database that PGHOST, PGUSER and PGDATABASE name; it commits after
N rows
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, registry

from benchmarks.peers.rows import has_address, read_rows
from engage_etl.store.tables import contact, membership

_mapped = registry()


class Contact:
    """A row of the table of contacts."""

    contact_id: int

    def __init__(self, **values: Any) -> None:
        self.fill(values)

    def fill(self, values: dict[str, Any]) -> None:
        """Set fields; those that are as they were are not written by the session."""
        for field, value in values.items():
            setattr(self, field, value)


class Membership:
    """A row of the table of memberships."""

    def __init__(self, **values: Any) -> None:
        for field, value in values.items():
            setattr(self, field, value)


_mapped.map_imperatively(Contact, contact)
_mapped.map_imperatively(Membership, membership)


def update_contacts(session: Session, file: Path, commit_every: int) -> None:
    """Bring the contacts up to a file, row by row; new ones join the group with the first id."""
    for number, values in enumerate(read_rows(file), 1):
        found = session.scalars(select(Contact).where(contact.c.identifier == values["identifier"])).one_or_none()
        if found is not None:
            found.fill(values)
            if session.is_modified(found):
                found.fill({"version": contact.c.version + 1, "updated_at": func.now()})
        elif has_address(values):
            new = Contact(**values)
            session.add(new)
            session.flush()
            session.add(Membership(group_id=1, contact_id=new.contact_id))
        if number % commit_every == 0:
            session.commit()
    session.commit()


if __name__ == "__main__":
    with Session(create_engine("postgresql+psycopg://")) as opened:
        update_contacts(opened, Path(sys.argv[1]), int(sys.argv[2]))
