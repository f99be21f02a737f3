"""How a file is read: type, separator, encoding, and how each of these was decided (R24)."""

from __future__ import annotations

import codecs

from pydantic import BaseModel, ConfigDict

from engage_etl.vocabulary.options import FileType


class FileFormat(BaseModel):
    """The format of a file.

    separator: of a CSV file, None for XML; character_set: name of a Python codec; detection: for each of
    ``file_type``, ``separator`` and ``character_set`` in words by what it was decided.
    """

    model_config = ConfigDict(frozen=True)

    file_type: FileType
    separator: str | None
    character_set: str
    detection: dict[str, str]


def unfit_bytes_kept(character_set: str) -> str:
    """The error handler with which bytes that do not fit an encoding are read and written back unchanged.

    In UTF-16 and UTF-32 these are halves of characters, which stay halves; a file that ends within one is cut short.
    """
    is_wide = codecs.lookup(character_set).name.startswith(("utf-16", "utf-32"))
    return "surrogatepass" if is_wide else "surrogateescape"
