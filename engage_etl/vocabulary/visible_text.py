"""Texts from files and from people, as they may be printed and sent."""

from __future__ import annotations

import unicodedata

_CONTROL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories: control characters, halves of characters, separators of lines and paragraphs."""
_TURNS_THE_LINE = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Bidirectional classes of characters that reorder what follows them."""


def visible(text: str) -> str:
    """A text on one line in which control characters are spelled out, so that no value commands the terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode("ascii") if _is_control(letter) else letter for letter in text
    )


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in _CONTROL or unicodedata.bidirectional(letter) in _TURNS_THE_LINE
