"""R16: the fast pattern for plain addresses accepts nothing that the maintained library refuses."""

from __future__ import annotations

import re

from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engage_etl.validated_rows.value_rules import PLAIN_EMAIL, is_email

_SHAPE = re.compile(r"[A-Za-z0-9_+-]{1,66}(\.[A-Za-z0-9_+-]{1,5}){0,3}@([A-Za-z0-9-]{1,64}\.){1,5}[A-Za-z0-9-]{1,25}\Z")
_WITHOUT_LOOKING_AHEAD = re.compile(re.sub(r"\(\?[=!](?:[^()]|\([^()]*\))*\)", "", PLAIN_EMAIL.pattern))
"""The pattern as Hypothesis can make texts from it."""
_PARTS = st.sampled_from(
    ["a", "Z", "9", "-", "--", "_", "+", ".", "..", "@", "xn--", "ab--c", "com", "test", "local", "localhost", "invalid",
     "example", "arpa", "onion", "de", "\n", " ", "ä", "x" * 63, "x" * 64, "x" * 24, "x" * 25, "1", "ʼ", '"']
)  # fmt: skip


def accepted_by_the_library(value: str) -> bool:
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


@settings(max_examples=400)
@given(st.from_regex(_SHAPE) | st.lists(_PARTS, max_size=9).map("".join) | st.lists(_PARTS, max_size=9).map("a@".join))
@example("a@b.local")
@example("a@b.LocalHost")
@example("a@localhost.localdomain")
@example("a@xn--a.com")
@example("a@ab--c.com")
@example("a@b.c1")
@example("a@1.com")
@example(f"{'a' * 64}@{'b' * 62}.{'c' * 62}.{'d' * 60}.com")
@example(f"a@{'b.' * 125}com")
@example("ann@example.com\n")
def test_r16_whatever_the_pattern_accepts_the_library_accepts(value: str) -> None:
    if PLAIN_EMAIL.match(value):
        assert accepted_by_the_library(value), value


@settings(max_examples=200)
@given(st.from_regex(_SHAPE))
def test_r16_the_pattern_changes_no_verdict(value: str) -> None:
    assert is_email(value) is accepted_by_the_library(value)
