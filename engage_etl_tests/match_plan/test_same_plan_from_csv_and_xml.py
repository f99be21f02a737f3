"""The same content as CSV and as XML gives the same plan (R25)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engage_etl.vocabulary.attributes import ATTRIBUTES, BY_FIELD
from engage_etl_tests.importing import Importing

NAMESPACE = "{http://webservices.ecircle-ag.com/ecm}"
SEED = (
    "user.Email,user.Identifier,user.FirstName,user.Title,user.CustomAttribute.colour\n"
    "a@x.org,1,Ann,2,red\nb@x.org,2,Bob,1,blue\n"
)
FIELDS = ["identifier", *(attribute.field for attribute in ATTRIBUTES if attribute.field != "identifier")]
SOME = {
    "identifier": ["1", "2", "9", "", "1.23E+11", "a b"],
    "email": ["a@x.org", "b@x.org", "new@x.org", "nonsense", ""],
    "first_name": ["Ann", "Zoë & <Co>", ""],
    "title": ["1", "2", "9", ""],
    "country_code": ["de", "DE", "XX", ""],
    "date_of_birth": ["1984-02-29", "31.12.1984", ""],
    "custom.colour": ["red", "green", ""],
    "member.shop": ["Ulm", ""],
}
Row = dict[str, str]


def as_csv(rows: list[Row]) -> str:
    names = {"custom.colour": "user.CustomAttribute.colour", "member.shop": "member.shop"}
    fields = list(rows[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([names[field] if field in names else BY_FIELD[field].header for field in fields])
    writer.writerows([[row[field] for field in fields] for row in rows])
    return text.getvalue()


def as_xml(rows: list[Row]) -> bytes:
    root = etree.Element(NAMESPACE + "userdata")
    users = etree.SubElement(root, NAMESPACE + "list")
    for row in rows:
        user = etree.SubElement(users, NAMESPACE + "user")
        for field, value in row.items():
            kind, _, name = field.partition(".")
            tag = {"custom": "namedattr", "member": "memberattr"}.get(kind) or BY_FIELD[field].element
            cell = etree.SubElement(user, NAMESPACE + tag)
            cell.text = value
            if name:
                cell.set("name", name)
    return etree.tostring(root, encoding="UTF-8", pretty_print=True)


def planned(importing: Importing, content: str | bytes, name: str, first: int, **options: Any) -> list[Any]:
    entry = importing.plan(content, name=name, max_rejected="100%", **options)
    return [
        (row.row - first, row.outcome, row.reason, row.contact_id, row.changes) for row in importing.plan_rows(entry)
    ]


@given(rows=st.lists(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in SOME.items()}), min_size=1, max_size=8),
       rule=st.sampled_from(["if-new-not-blank", "always"]))  # fmt: skip
@settings(max_examples=40)
def test_any_rows(importing: Importing, rows: list[Row], rule: str) -> None:
    if not importing.contacts():
        importing.seed(SEED)
    from_csv = planned(importing, as_csv(rows), "contacts.csv", 2, update_rule=rule)
    from_xml = planned(importing, as_xml(rows), "contacts.xml", 1, update_rule=rule)
    assert from_csv == from_xml
    assert len(from_csv) == len(rows)


@pytest.mark.parametrize("options", [{}, {"use_external_identifier": False}])
def test_all_attributes(importing: Importing, options: dict[str, Any]) -> None:
    importing.seed(SEED)
    fields = FIELDS if not options else ["email", *(field for field in FIELDS if field != "email")]
    row = {field: BY_FIELD[field].example for field in fields} | {"custom.colour": "grün", "member.shop": "Köln"}
    from_csv = planned(importing, as_csv([row]), "contacts.csv", 2, **options)
    assert from_csv == planned(importing, as_xml([row]), "contacts.xml", 1, **options)
    assert len(from_csv[0][4]) == len(FIELDS) + 3  # two free attributes, and the group
