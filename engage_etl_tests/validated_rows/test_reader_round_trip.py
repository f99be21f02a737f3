"""R4, R24, R25: any table of texts comes out as it was written, whatever the size of chunks."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engage_etl.vocabulary.attributes import ATTRIBUTES, BY_FIELD
from engage_etl_tests.validated_rows.reading_files import csv_reader, read_all, xml_reader

SIZES = [1, 2, 7, 1000]
OTHERS = [attribute for attribute in ATTRIBUTES if attribute.field != "identifier"]
_TELLING = st.sampled_from(
    ["", " ", '"', '""', ",", ";", "\t", "|", "\n", "\r", "\r\n", "NA", "null", "007", "é", "1e5"]
)


def texts(character_set: str) -> st.SearchStrategy[str]:
    free = st.text(st.characters(codec=character_set, exclude_characters="\0"), max_size=6)
    return st.lists(_TELLING | free, max_size=4).map("".join)


@st.composite
def tables(draw: st.DrawFn, character_set: str) -> tuple[list[str], list[list[str]]]:
    """Fields, the identifier first, and rows of texts."""
    fields = [
        "identifier",
        *draw(st.lists(st.sampled_from([other.field for other in OTHERS]), unique=True, min_size=1)),
    ]
    row = st.lists(texts(character_set), min_size=len(fields), max_size=len(fields))
    return fields, draw(st.lists(row, max_size=10))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("character_set", ["utf-8", "utf-16-le", "utf-16-be", "iso8859-1", "iso8859-15", "cp1252"])
@settings(max_examples=25)
@given(data=st.data())
def test_csv(size: int, character_set: str, data: st.DataObject) -> None:
    fields, rows = data.draw(tables(character_set))
    separator = data.draw(st.sampled_from(",;\t|"))
    end = data.draw(st.sampled_from(["\r\n", "\n", "\r"]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator=end)
    if end == "\r\n":  # with another, Python 3.11 leaves cells with a lone carriage return unquoted
        quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
        writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow([BY_FIELD[field].header for field in fields])
    lines = []
    for row in rows:
        lines.append(1 + _ends(text.getvalue()))
        writer.writerow(row)
    is_marked = character_set.startswith("utf") and data.draw(st.booleans())
    content = ("\ufeff" * is_marked + text.getvalue()).encode(character_set)
    with tempfile.TemporaryDirectory() as folder:
        reader = csv_reader(Path(folder), content, separator=separator, character_set=character_set)
        whole = read_all(reader, size)
        originals = list(reader.originals())
    assert whole.malformed == {}
    assert whole.columns == ({field: [row[n] for row in rows] for n, field in enumerate(fields)} if rows else {})
    assert whole.rows == lines
    assert originals == list(zip(lines, rows, strict=True))


def _ends(text: str) -> int:
    """How many physical lines a text ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=25)
@given(data=st.data())
def test_xml(size: int, data: st.DataObject) -> None:
    character_set = data.draw(st.sampled_from(["utf-8", "utf-16", "iso-8859-15"]))
    # The characters that XML 1.0 allows; trimmed is what a reader gives back (R18).
    # libxml2 loses tag characters (U+E0000 on) where it writes ISO-8859-15, so that they would not be in the file.
    tags = "".join(map(chr, range(0xE0000, 0xE0080)))
    characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff" + tags)
    value = st.none() | st.text(characters | st.sampled_from(" \t\n<>&\"'")).map(str.strip)
    fields = ["identifier", *(attribute.field for attribute in OTHERS), "custom.Favourite colour"]
    rows = data.draw(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, value)), max_size=10))
    with tempfile.TemporaryDirectory() as folder:
        content = etree.tostring(_as_tree(rows), encoding=character_set, pretty_print=data.draw(st.booleans()))
        whole = read_all(xml_reader(Path(folder), content), size)
    assert whole.malformed == {}
    assert whole.rows == list(range(1, len(rows) + 1))
    assert {name: values for name, values in whole.columns.items() if any(value is not None for value in values)} == {
        field: [row.get(field) for row in rows] for field in fields if any(row.get(field) is not None for row in rows)
    }


def _as_tree(rows: list[dict[str, str | None]]) -> etree._Element:
    root = etree.Element("{http://webservices.ecircle-ag.com/ecm}userdata")
    above = etree.SubElement(root, "{http://webservices.ecircle-ag.com/ecm}list")
    for row in rows:
        user = etree.SubElement(above, "{http://webservices.ecircle-ag.com/ecm}user")
        for field, value in row.items():
            if value is None:
                continue
            name = BY_FIELD[field].element if field in BY_FIELD else "namedattr"
            cell = etree.SubElement(user, f"{{http://webservices.ecircle-ag.com/ecm}}{name}")
            if field not in BY_FIELD:
                cell.set("name", field.removeprefix("custom."))
            cell.text = value
    return root
