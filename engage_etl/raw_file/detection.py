"""What kind of file it is: type, separator, encoding; what the import states always wins (R24)."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from pathlib import Path

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import SEPARATORS, FileType, ImportOptions

STATED = "stated"
_SAMPLE = 256 * 1024
_BLOCK = 1024 * 1024
_TELLING = 64 * 1024
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SINGLE_BYTE = ["cp1252", "iso8859_15", "iso8859_1"]
_OTHER_SOFTWARE = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"%PDF": "a PDF; export the data as CSV or XML",
}
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_LINE_END = re.compile(rb"[\r\n]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_BEYOND_ASCII = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")
_LISTED = re.compile(r"[\r\n]*(?:[^\s@,;|\"]+@[^\s@,;|\"]+|\+?[0-9]{5,20})[\t ]*(?:[\r\n]|\Z)")
"""A first line that is one address: a text list."""

_UNFIT = re.compile("[\udc80-\udcff]")
_FIT = re.compile("[^\x00-\x7f\udc80-\udcff]")


def detect_format(path: Path, name: str, options: ImportOptions) -> FileFormat:
    """Find out how a file is to be read.

    name: as it arrived, for its ending and for messages.

    Raises:
        FileError: the file is empty, or neither text nor XML.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
    _refuse_empty(sample, name)
    file_type, type_by = _file_type(sample, name, options)
    if file_type is FileType.XML:
        return _xml_format(sample, type_by)
    character_set, set_by = _character_set(path, sample, options)
    text = sample.decode(character_set, "replace").removeprefix("\ufeff")
    if options.file_type is None and _LISTED.match(text):
        file_type, type_by = FileType.TEXT, "detected (the first line is an address, not a header)"
    if file_type is FileType.TEXT:
        detection = {"file_type": type_by, "character_set": set_by}
        return FileFormat(file_type=file_type, separator=None, character_set=character_set, detection=detection)
    separator, separator_by = _separator(text, options)
    return FileFormat(
        file_type=file_type,
        separator=separator,
        character_set=character_set,
        detection={"file_type": type_by, "separator": separator_by, "character_set": set_by},
    )


def _refuse_empty(sample: bytes, name: str) -> None:
    rest = sample
    for mark in _MARKS:
        rest = rest.removeprefix(mark)
    if not rest.replace(b"\0", b"").strip() and len(sample) < _SAMPLE:
        raise FileError(FileErrorCode.FILE_EMPTY, f"{name}: the file is empty; expected a header and rows, or XML.")


def _file_type(sample: bytes, name: str, options: ImportOptions) -> tuple[FileType, str]:
    for start, meaning in _OTHER_SOFTWARE.items():
        if sample.startswith(start):
            raise FileError(FileErrorCode.FILE_TYPE_UNKNOWN, f"{name}: the file looks like {meaning}, and import that.")
    if options.file_type is not None:
        return options.file_type, STATED
    text = sample[:1000].replace(b"\0", b"")
    for mark in _MARKS:
        text = text.removeprefix(mark)
    if text.lstrip().startswith(b"<"):
        return FileType.XML, "detected (begins with <)"
    if _is_binary(sample[:1000]):
        raise FileError(
            FileErrorCode.FILE_TYPE_UNKNOWN,
            f"{name}: the file is neither text nor XML; expected CSV, XML or a text list. Export it as one of these.",
        )
    return FileType.CSV, "detected (text)"


def _is_binary(start: bytes) -> bool:
    """Whether control characters stand in the first line, or are many; a stray one further on is the row's fault."""
    if _utf16(start):
        return False
    first_line = _LINE_END.split(start, maxsplit=1)[0]
    return bool(_CONTROL.search(first_line)) or len(_CONTROL.findall(start)) * 10 > len(start)


def _utf16(sample: bytes) -> str | None:
    """UTF-16 without byte-order mark: nearly every other byte of plain text is zero."""
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if sample.startswith(mark):
            return codec
    even, odd = sample[0:1000:2], sample[1:1000:2]
    if odd.count(0) > len(odd) * 0.7 and even.count(0) == 0:
        return "utf-16-le"
    if even.count(0) > len(even) * 0.7 and odd.count(0) == 0:
        return "utf-16-be"
    return None


def _xml_format(sample: bytes, type_by: str) -> FileFormat:
    declared = _XML_ENCODING.search(sample[:1000].replace(b"\0", b""))
    marked = next((codec for mark, codec in _MARKS.items() if sample.startswith(mark)), None)
    if declared is not None:
        character_set, by = declared[1].decode().lower(), "declared in the XML"
    else:
        character_set, by = marked or "utf-8", "byte-order mark" if marked else "default of XML"
    return FileFormat(
        file_type=FileType.XML,
        separator=None,
        character_set=character_set,
        detection={"file_type": type_by, "character_set": by},
    )


def _character_set(path: Path, sample: bytes, options: ImportOptions) -> tuple[str, str]:
    marked = next((codec for mark, codec in _MARKS.items() if sample.startswith(mark)), None)
    if options.character_set is not None:
        stated = codecs.lookup(options.character_set).name
        if stated == "utf-8-sig":
            stated = "utf-8"
        return (_utf16(sample) or "utf-16-le") if stated == "utf-16" else stated, STATED
    if marked is not None:
        return marked, "byte-order mark"
    if (codec := _utf16(sample)) is not None:
        return codec, "detected (zero bytes)"
    return _from_content(path)


def _from_content(path: Path) -> tuple[str, str]:
    """UTF-8 where all or most of the file fits it, else the most plausible of the single-byte encodings."""
    fit, unfit = _count_utf8(path)
    if not unfit:
        return "utf-8", "detected (all of the file is valid UTF-8)"
    if fit > unfit:
        # Other encodings hardly ever look like UTF-8: some rows are broken, and all others would be if it were ignored.
        return "utf-8", f"detected (most of the file is valid UTF-8; {unfit:,} bytes are not)"
    from charset_normalizer import from_bytes  # loaded for files that are not UTF-8 only

    best = from_bytes(_telling_lines(path), cp_isolation=_SINGLE_BYTE).best()
    if best is None or best.encoding not in _SINGLE_BYTE:
        return "cp1252", "assumed (not UTF-8, and no other fits better)"
    return best.encoding, f"detected (not UTF-8; {best.percent_chaos:g}% of the sample is unusual in it)"


def _count_utf8(path: Path) -> tuple[int, int]:
    """How many characters beyond ASCII the file has as UTF-8, and how many bytes that are no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    fit = unfit = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            text = decoder.decode(block, final=not block)
            if not text.isascii():
                unfit += len(_UNFIT.findall(text))
                fit += len(_FIT.findall(text))
            if not block:
                return fit, unfit


def _telling_lines(path: Path) -> bytes:
    """Lines with bytes beyond ASCII, from anywhere in the file: only these tell the encodings apart."""
    found = bytearray()
    with path.open("rb") as file:
        while len(found) < _TELLING and (block := file.read(_BLOCK)):
            found += b"".join(_BEYOND_ASCII.findall(block))
    return bytes(found[:_TELLING])


def _separator(text: str, options: ImportOptions) -> tuple[str, str]:
    """The separator that stands most often in the first line outside of quotes."""
    if options.separator is not None:
        return options.separator, STATED
    counts: Counter[str] = Counter()
    is_quoted = False
    for character in text:
        if character == '"':
            is_quoted = not is_quoted
        elif character in "\r\n" and not is_quoted:
            break
        elif character in SEPARATORS and not is_quoted:
            counts[character] += 1
    if not counts:
        return SEPARATORS[0], "assumed (one column)"
    separator, number = counts.most_common(1)[0]
    return separator, f"detected ({number} times in the header)"
