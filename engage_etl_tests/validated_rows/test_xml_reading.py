"""R3, R18, R25: users of an XML file, read in a stream."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.records import CustomDefinition
from engage_etl.vocabulary.attributes import ATTRIBUTES, CustomType
from engage_etl_tests.validated_rows.reading_files import read_all, read_xml, xml_reader

NAMESPACE = 'xmlns="http://webservices.ecircle-ag.com/ecm"'


def userdata(content: str, namespace: str = NAMESPACE) -> str:
    return f"<userdata {namespace}><list>{content}</list></userdata>"


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
@pytest.mark.parametrize("around", ["<list>{}</list>", "{}"])
def test_users_in_a_list_or_directly_under_the_root(tmp_path: Path, namespace: str, around: str) -> None:
    users = "<user><identifier>1</identifier></user><user><identifier>2</identifier></user>"
    whole = read_xml(tmp_path, f"<userdata {namespace}>{around.format(users)}</userdata>")
    assert (whole.rows, whole.columns) == ([1, 2], {"identifier": ["1", "2"]})


def test_a_prefix_for_the_namespace(tmp_path: Path) -> None:
    text = (
        '<e:userdata xmlns:e="http://webservices.ecircle-ag.com/ecm"><e:user><e:email>a</e:email></e:user></e:userdata>'
    )
    assert read_xml(tmp_path, text).columns == {"email": ["a"]}


def test_every_standard_attribute(tmp_path: Path) -> None:
    user = "".join(f"<{attribute.element}>{attribute.example}</{attribute.element}>" for attribute in ATTRIBUTES)
    whole = read_xml(tmp_path, userdata(f"<user>{user}</user>"))
    assert whole.columns == {attribute.field: [attribute.example] for attribute in ATTRIBUTES}
    assert whole.reader.columns == {attribute.element: attribute.field for attribute in ATTRIBUTES}


def test_text_is_trimmed_and_a_blank_element_is_not_an_absent_one(tmp_path: Path) -> None:
    whole = read_xml(
        tmp_path,
        userdata(
            "<user><identifier> \n 1\t</identifier><email/><zipcode> </zipcode></user>"
            "<user><identifier>2</identifier></user>"
        ),
    )
    assert whole.columns == {"email": ["", None], "identifier": ["1", "2"], "zip_code": ["", None]}


def test_comments_instructions_and_character_data(tmp_path: Path) -> None:
    whole = read_xml(
        tmp_path,
        userdata(
            "<!-- a --><?b c?><user><!-- d --><identifier>1<!-- e -->2<?f g?>3</identifier>"
            "<firstname><![CDATA[<b>Ann & Co</b>]]></firstname><lastname>&lt;&#x1F600;&amp;</lastname></user><!-- h -->"
        ),
    )
    assert whole.records == [("123", "<b>Ann & Co</b>", "<😀&")]
    assert (whole.reader.warnings, whole.malformed) == ([], {})


def test_custom_attributes_compare_regardless_of_case(tmp_path: Path) -> None:
    whole = read_xml(
        tmp_path,
        userdata(
            '<namedattr-definition name="Colour" type="string" enum="true"><value>red</value><value> blue </value>'
            "</namedattr-definition>"
            '<namedattr-definition name="Household size" type="number" enum="false"/>'
            '<user><identifier>1</identifier><namedattr name="colour">red</namedattr></user>'
            '<user><identifier>2</identifier><namedattr name="COLOUR"/><namedattr name="New">x</namedattr></user>'
        ),
    )
    assert whole.reader.definitions == {
        "colour": CustomDefinition("Colour", CustomType.STRING, ("red", "blue")),
        "household size": CustomDefinition("Household size", CustomType.NUMBER, None),
    }
    assert whole.columns == {"identifier": ["1", "2"], "custom.Colour": ["red", ""], "custom.New": [None, "x"]}


def test_definitions_are_known_before_the_first_chunk(tmp_path: Path) -> None:
    reader = xml_reader(tmp_path, userdata('<namedattr-definition name="a" type="date"/><user><email>x</email></user>'))
    next(reader.chunks(1))
    assert reader.definitions["a"].type is CustomType.DATE


@pytest.mark.parametrize(
    "users",
    [
        '<user/><namedattr-definition name="a" type="date"/>',
        '<namedattr-definition name="a" type="date"/><namedattr-definition name="A" type="date"/>',
        '<namedattr-definition name="a" type="colour"/>',
        '<namedattr-definition type="date"/>',
        '<namedattr-definition name=" "/>',
        f'<namedattr-definition name="{"a" * 81}"/>',
    ],
)
def test_a_definition_that_is_wrong_refuses_the_file(tmp_path: Path, users: str) -> None:
    with pytest.raises(FileError) as raised:
        read_xml(tmp_path, userdata(users))
    assert raised.value.code is FileErrorCode.XML_INVALID


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("<email>a</email><email>b</email>", "email twice"),
        ('<namedattr name="a">x</namedattr><namedattr name="A">y</namedattr>', "'a' twice"),
        ("<email>a<b>c</b></email>", "email holds other elements"),
        ("<namedattr>x</namedattr>", "no name"),
        ('<namedattr name=" ">x</namedattr>', "no name"),
    ],
)
def test_a_user_that_is_no_row(tmp_path: Path, user: str, problem: str) -> None:
    whole = read_xml(tmp_path, userdata(f"<user/><user>{user}</user><user><email>z</email></user>"))
    assert whole.rows == [1, 3]
    assert problem in whole.malformed[2]


def test_unknown_elements_are_named_once_with_their_number(tmp_path: Path) -> None:
    user = "<user><Email>x</Email><email>y</email><street>z</street></user>"
    text = (
        f"<userdata {NAMESPACE}><source/><list>{user}<User/><User/>{user}<contact/></list>"
        '<list><user><x:email xmlns:x="urn:other">z</x:email></user><contact><user/></contact></list><source/></userdata>'
    )
    whole = read_xml(tmp_path, text)
    assert (whole.rows, whole.columns) == ([1, 2, 3], {"email": ["y", "y", None]})
    assert [warning.removeprefix("contacts.xml: the element ") for warning in whole.reader.warnings] == [
        "'Email' is not known and was passed over (2 times). Did you mean 'email'?",
        "'User' is not known and was passed over (2 times). Did you mean 'user'?",
        "'contact' is not known and was passed over (2 times).",
        "'source' is not known and was passed over (2 times).",
        "'street' is not known and was passed over (2 times).",
        "'{urn:other}email' is not known and was passed over (1 times).",
    ]


def test_a_user_is_matched_on_the_first_address_that_is_present_even_if_blank(tmp_path: Path) -> None:
    whole = read_xml(
        tmp_path,
        userdata(
            "<user><mobilenumber>1</mobilenumber><email/></user><user><faxnumber>a</faxnumber>"
            "<mobilenumber>1</mobilenumber></user><user><faxnumber>a</faxnumber></user><user><title>1</title></user>"
        ),
    )
    assert whole.key_fields == ["email", "mobile_number", "app_alias", None]


def test_a_file_without_users_has_no_rows(tmp_path: Path) -> None:
    whole = read_xml(tmp_path, userdata(""))
    assert (whole.rows, whole.columns, whole.reader.warnings) == ([], {}, [])


def test_originals_are_cells_under_csv_headers(tmp_path: Path) -> None:
    text = userdata(
        '<user><email>a</email></user><user><namedattr name="Favourite shop">x</namedattr><email>b</email></user>'
        "<user><email>c</email><email>d</email></user>"
    )
    reader = xml_reader(tmp_path, text)
    assert reader.original_header() == ["user.Email", "user.CustomAttribute['Favourite shop']"]
    assert list(reader.originals())[:2] == [(1, ["a", ""]), (2, ["b", "x"])]
    assert [row for row, _ in reader.originals()] == [1, 2, 3]


def test_a_header_asked_for_in_the_middle_of_the_file_is_whole(tmp_path: Path) -> None:
    reader = xml_reader(tmp_path, userdata("<user><email>a</email></user><user><title>1</title></user>"))
    next(reader.chunks(1))
    assert reader.original_header() == ["user.Email", "user.Title"]


@pytest.mark.parametrize("character_set", ["utf-8", "utf-16", "iso-8859-15", "windows-1252"])
def test_encodings_as_declared(tmp_path: Path, character_set: str) -> None:
    text = f'<?xml version="1.0" encoding="{character_set}"?>' + userdata("<user><firstname>Zoé €</firstname></user>")
    assert read_xml(tmp_path, text.encode(character_set)).records == [("Zoé €",)]


def test_rows_are_counted_past_65535_lines_and_memory_stays_flat(tmp_path: Path) -> None:
    user = "<user>\n<identifier>1</identifier>\n<firstname>Ann</firstname>\n</user>\n"
    reader = xml_reader(tmp_path, userdata(user * 60_000))
    process = psutil.Process()
    chunks = reader.chunks(1000)
    next(chunks)
    before, last = process.memory_info().rss, 0
    for chunk in chunks:
        last = chunk.rows[-1]
    assert last == 60_000
    assert process.memory_info().rss - before < 12_000_000


def test_the_size_of_chunks_changes_nothing(tmp_path: Path) -> None:
    text = userdata("<user><email>a</email></user><user><title>1</title></user><user><title>1</title><title/></user>")
    found = [read_all(xml_reader(tmp_path, text), size) for size in (1, 2, 3)]
    assert [whole.rows for whole in found] == [[1, 2]] * 3
    assert [whole.columns for whole in found] == [{"email": ["a", None], "title": [None, "1"]}] * 3


def test_member_attributes_and_lines(tmp_path: Path) -> None:
    text = """<userdata>
    <user>
        <identifier>1</identifier>
        <memberattr name="Shop"> Ulm </memberattr><namedattr name="shop">Bonn</namedattr>
    </user>

    <user><memberattr NAME="shop">Kiel</memberattr><memberattr name="SHOP"/></user>
    <user><memberattr name="shop">Köln</memberattr></user>
    </userdata>"""
    whole = read_xml(tmp_path, text)
    assert whole.columns["member.Shop"] == ["Ulm", "Köln"]
    assert whole.columns["custom.shop"] == ["Bonn", None]
    assert whole.malformed == {
        2: "the user cannot be read: it has the element 'Shop' twice. Correct the user and import it again."
    }
    assert whole.reader.columns == {
        "identifier": "identifier",
        "memberattr Shop": "member.Shop",
        "namedattr shop": "custom.shop",
    }
    assert whole.reader.original_header() == ["user.Identifier", "member.Shop", "user.CustomAttribute.shop"]


def test_only_what_xml_calls_white_space_is_trimmed(tmp_path: Path) -> None:
    """R18: pretty-printers add nothing else, and other white space is part of the value."""
    whole = read_xml(tmp_path, "<userdata><user><identifier>\n\t 7\u00a0 </identifier></user></userdata>")
    assert whole.columns == {"identifier": ["7\u00a0"]}
