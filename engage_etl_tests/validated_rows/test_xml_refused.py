"""R25: no DTD, no entities, no network; XML that is ill-formed or breaks off is refused with line and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl_tests.validated_rows.reading_files import read_xml, xml_reader

USER = "<user><identifier>1</identifier></user>"


def refused(folder: Path, content: str | bytes) -> str:
    with pytest.raises(FileError) as raised:
        read_xml(folder, content)
    assert raised.value.code is FileErrorCode.XML_INVALID
    return str(raised.value)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE userdata>",
        '<!DOCTYPE userdata SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE userdata PUBLIC "-//a//b" "http://localhost:9/x.dtd">',
        '<!DOCTYPE userdata [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!-- <!DOCTYPE a> --> <?pi?> <!DOCTYPE userdata [<!ELEMENT userdata ANY><!ENTITY % p "x">]>',
        "<!DOCTYPE userdata [" + "<!-- long -->" * 20_000 + "]>",
    ],
)
@pytest.mark.parametrize("character_set", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_doctype(tmp_path: Path, doctype: str, character_set: str) -> None:
    declared = character_set.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>{doctype}<userdata>{USER}</userdata>'
    assert "DOCTYPE" in refused(tmp_path, text.encode(character_set))


def test_an_entity_is_never_put_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish")
    text = (
        f'<!DOCTYPE userdata [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        "<userdata><user><identifier>&x;</identifier></user></userdata>"
    )
    assert "swordfish" not in refused(tmp_path, text)


def test_an_entity_that_grows_is_refused_without_growing(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    text = (
        f'<!DOCTYPE userdata [<!ENTITY l0 "lol">{entities}]>'
        '<userdata a="&l9;"><user><identifier>&l9;</identifier></user></userdata>'
    )
    refused(tmp_path, text)


def test_a_doctype_in_text_is_text(tmp_path: Path) -> None:
    text = "<userdata><!-- <!DOCTYPE a> --><user><firstname><![CDATA[<!DOCTYPE b>]]></firstname></user></userdata>"
    assert read_xml(tmp_path, text).records == [("<!DOCTYPE b>",)]


def test_a_file_that_breaks_off_names_line_and_column(tmp_path: Path) -> None:
    message = refused(tmp_path, f"<userdata>\n{USER}\n<user><identifier>2</ident")
    assert re.search(r"\(line 3, column \d+\)", message)


@pytest.mark.parametrize("users", [1, 2, 50_000])
def test_a_file_that_breaks_off_late_is_refused_too(tmp_path: Path, users: int) -> None:
    reader = xml_reader(tmp_path, "<userdata>\n" + f"{USER}\n" * users + "<user>")
    with pytest.raises(FileError, match=f"line {users + 2}, column"):
        list(reader.chunks(1000))


@pytest.mark.parametrize(
    "content",
    [
        "<userdata><user></userdata>",
        "<userdata/><userdata/>",
        "user.Email\na@b.de\n",
        "<userdata>&nbsp;</userdata>",
        "<userdata><user><identifier>\x01</identifier></user></userdata>",
        "",
    ],
)
def test_what_is_not_well_formed(tmp_path: Path, content: str | bytes) -> None:
    assert "not well-formed" in refused(tmp_path, content)


@pytest.mark.parametrize("root", ["users", "UserData", 'userdata xmlns="urn:other"'])
def test_another_root(tmp_path: Path, root: str) -> None:
    assert "expected 'userdata'" in refused(tmp_path, f"<{root}>{USER}</{root.split(maxsplit=1)[0]}>")


@pytest.mark.parametrize("depth", [300, 100_000])
def test_elements_nested_without_end(tmp_path: Path, depth: int) -> None:
    assert "depth" in refused(tmp_path, "<userdata><user>" + "<a>" * depth)


def test_a_text_without_end(tmp_path: Path) -> None:
    text = "<userdata><user><firstname>" + "x" * 11_000_000 + "</firstname></user></userdata>"
    refused(tmp_path, text)


def test_an_attribute_without_end(tmp_path: Path) -> None:
    text = f'<userdata><user><namedattr name="{"x" * 11_000_000}">a</namedattr></user></userdata>'
    refused(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('<?xml version="1.0" encoding="klingon"?><userdata/>', "encoding"),
        (b"<userdata>\n<user><firstname>\xe4</firstname></user></userdata>", "line 2, column"),
    ],
)
def test_encodings_that_do_not_fit(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(FileError, match=told) as raised:
        read_xml(tmp_path, content)
    assert raised.value.code is FileErrorCode.ENCODING_INVALID


def test_a_depth_bomb_is_refused(tmp_path: Path) -> None:
    assert "not well-formed" in refused(tmp_path, "<userdata>" + "<a>" * 1_000_000)


def test_an_attribute_bomb_and_a_huge_text_are_refused(tmp_path: Path) -> None:
    assert "not well-formed" in refused(tmp_path, f'<userdata><user x="{"a" * 11_000_000}"/></userdata>')
    assert "not well-formed" in refused(
        tmp_path, f"<userdata><user><email>{'a' * 11_000_000}</email></user></userdata>"
    )
