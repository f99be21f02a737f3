"""How a file is read: type, separator, encoding, and how each of these was decided (R24)."""

from __future__ import annotations

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
