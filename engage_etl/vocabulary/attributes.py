"""The attribute catalogue: one row per standard attribute of a contact (R16).

Header parser, XML reader, Pandera schema, table columns, SQL expressions, reports and the generated reference
page all read this table; a new standard attribute is one row here and one migration.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 2000
"""Characters that a text attribute, an alias or an identifier may have (R14, R16)."""

LONGEST_CUSTOM_NAME = 80
"""Characters that the name of a custom attribute may have (R17)."""


class Kind(StrEnum):
    """What a value of an attribute is, which decides how it is checked, stored and compared."""

    EMAIL = "e-mail address"
    MOBILE = "mobile number"
    ALIAS = "mobile app alias"
    IDENTIFIER = "external identifier"
    TEXT = "text"
    TITLE = "title"
    DATE = "date"
    PARTNER_ID = "partner id"
    COUNTRY = "country code"
    LANGUAGE = "language code"
    TIME_ZONE = "time zone"


class CustomType(StrEnum):
    """Types of custom attributes (R17)."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Attribute:
    """One standard attribute.

    field: name in JSON, tables and code; header: CSV header as exports spell it; element: XML element;
    expected: what a value must be, as said in messages; example: a value that fits; personal: masked by R41.
    """

    field: str
    header: str
    element: str
    kind: Kind
    expected: str
    example: str
    personal: bool = True

    @property
    def is_address(self) -> bool:
        """Whether this is a standard identifier: e-mail, mobile number or mobile app alias."""
        return self.kind in ADDRESS_KINDS


ADDRESS_KINDS = (Kind.EMAIL, Kind.MOBILE, Kind.ALIAS)
"""Kinds of standard identifiers, in the order in which R3 looks for them."""

_TEXT = f"a text of up to {LONGEST_TEXT} characters"

ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("email", "user.Email", "email", Kind.EMAIL, "an address like name@example.com", "ann@example.com"),
    Attribute("mobile_number", "user.MobileNumber", "mobilenumber", Kind.MOBILE,
              "digits with area code, with or without a leading +, like 4915112345678", "4915112345678"),
    Attribute("app_alias", "user.FaxNumber", "faxnumber", Kind.ALIAS, _TEXT, "app-7f3a"),
    Attribute("identifier", "user.Identifier", "identifier", Kind.IDENTIFIER,
              f"1 to {LONGEST_TEXT} characters without white space", "CRM-000017", personal=False),
    Attribute("first_name", "user.FirstName", "firstname", Kind.TEXT, _TEXT, "Ann"),
    Attribute("last_name", "user.LastName", "lastname", Kind.TEXT, _TEXT, "Muster"),
    Attribute("nickname", "user.Nickname", "nickname", Kind.TEXT, _TEXT, "Annie"),
    Attribute("title", "user.Title", "title", Kind.TITLE, "1 (Mr), 2 (Ms/Mrs) or -1 (unknown)", "2", personal=False),
    Attribute("date_of_birth", "user.DateOfBirth", "dateofbirth", Kind.DATE,
              "YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with an optional offset", "1984-02-29"),
    Attribute("zip_code", "user.ZipCode", "zipcode", Kind.TEXT, _TEXT, "01067"),
    Attribute("partner_id", "user.PartnerId", "partnerid", Kind.PARTNER_ID, "up to 5 digits", "42", personal=False),
    Attribute("country_code", "user.ISOCountryCode", "isocountrycode", Kind.COUNTRY,
              "an ISO 3166-1 country code of two or three letters, like DE or DEU", "DE", personal=False),
    Attribute("language_code", "user.ISOLanguageCode", "isolanguagecode", Kind.LANGUAGE,
              "an ISO 639-1 language code of two letters, like de", "de", personal=False),
    Attribute("time_zone", "user.TimeZone", "timezone", Kind.TIME_ZONE,
              "a name of the IANA time zone database, like Europe/Berlin", "Europe/Berlin", personal=False),
)  # fmt: skip

BY_FIELD = {attribute.field: attribute for attribute in ATTRIBUTES}
BY_HEADER = {attribute.header.lower(): attribute for attribute in ATTRIBUTES}
BY_ELEMENT = {attribute.element: attribute for attribute in ATTRIBUTES}
ADDRESSES = tuple(attribute for attribute in ATTRIBUTES if attribute.is_address)

IDENTIFIER = "identifier"
"""Field name of the external identifier."""

GROUPS = "groups"
"""Name under which a change of membership stands among the changes of a row (R20)."""

CUSTOM = "custom."
"""Prefix of a custom attribute's name among the changes of a row, as in ``custom.Favourite colour``."""

MEMBER = "member."
"""Prefix of a member attribute's name among the changes of a row, as in ``member.Shop``."""


def custom_key(name: str) -> str:
    """The form in which names of custom and member attributes are compared (R17)."""
    return name.lower()


def is_free(column: str) -> bool:
    """Whether a column fills a custom or a member attribute, whose names are not in the catalogue."""
    return column.startswith((CUSTOM, MEMBER))


def free_name(column: str) -> str:
    """The name of the custom or member attribute that a column fills."""
    return column.partition(".")[2]


def custom_header(name: str) -> str:
    """The CSV header of a custom attribute, as exports spell it (R17)."""
    return _named_header("user.CustomAttribute", name)


def member_header(name: str) -> str:
    """The CSV header of a member attribute, as exports spell it."""
    return _named_header("member", name)


def _named_header(kind: str, name: str) -> str:
    plain = name.isascii() and name.replace("_", "").isalnum()
    if plain:
        return f"{kind}.{name}"
    quote = '"' if "'" in name else "'"
    return f"{kind}[{quote}{name}{quote}]"
