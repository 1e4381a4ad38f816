"""Recognise the format of a file by its content; what holds no readings is refused, with what it is and a way out."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from iot_platform.errors import SourceError

SAY_CSV = "If it is CSV all the same, say --format csv."
CSV_WAY_OUT = "Export the readings as CSV or .xlsx."
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"

# Where a signature is, what it says, and the way out.
_REFUSED: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"%PDF", "a PDF document", CSV_WAY_OUT),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it, and load the files in it."),
    (0, b"Rar!", "a RAR archive", "Unpack it, and load the files in it."),
    (257, b"ustar", "a tar archive", "Unpack it, and load the files in it."),
    (0, b"\x1f\x8b", "a file that was compressed twice", "Unpack it once."),
    (0, b"BZh", "a file that was compressed twice", "Unpack it once."),
    (0, b"SQLite format 3\x00", "an SQLite database", "Export the table with the readings as CSV."),
    (0, b"ARROW1", "an Arrow (Feather) file", "Write it as Parquet."),
    (0, b"Obj\x01", "an Avro file", "Write it as Parquet."),
    (0, b"ORC", "an ORC file", "Write it as Parquet."),
    (0, b"\x89HDF", "an HDF5 file", "Write the table with the readings as Parquet or CSV."),
    (0, b"\x89PNG", "an image (PNG)", CSV_WAY_OUT),
    (0, b"\xff\xd8\xff", "an image (JPEG)", CSV_WAY_OUT),
    (0, b"{\\rtf", "an RTF document", CSV_WAY_OUT),
)
# They may begin the first word of a text: "ORCA Energie". The files themselves are no text.
_WORDS = {b"Rar!", b"BZh", b"ARROW1", b"ORC", b"ustar"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
# A line such as [Data] or {kWh} may precede the header of a CSV file.
_JSON = re.compile(r"\{\s*[\"}]|\[\s*[{\[\"\]0-9tfn-]")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PROLOG = re.compile(r"(?s)(?:\s+|<\?.*?\?>|<!--.*?-->|<!(?i:doctype)\s+(?P<doctype>[\w:.-]+)[^>]*>)")
_ROOT = re.compile(r"<(?:(?P<prefix>[\w.-]+):)?(?P<name>[\w.-]+)(?P<attributes>[^>]*)")
_NEM = re.compile(r'"?100"?,\s*"?(NEM1[23])\b')
_NEM_WITHOUT_HEADER = re.compile(r"200,[^\r\n]*\r?\n300,")


class NotReadingsError(SourceError):
    """A file that holds no readings, or none that can be read."""


@dataclass(frozen=True)
class Recognised:
    """A format, by its name in file_format.FORMATS (or "zip"), and by what it was recognised."""

    format: str
    by: str


def recognise(start: bytes, end: bytes = b"") -> Recognised:
    """The format of a file that begins and ends so. ``end``: b"" if it is not known.

    Raises NotReadingsError for what is known to hold no readings; also if it might be CSV, with the option to say so.
    """
    is_text = _CONTROL.search(_text(start)) is None
    try:
        return _recognise(start, end, is_text=is_text)
    except NotReadingsError as error:
        raise (NotReadingsError(f"{error} {SAY_CSV}") if is_text else error) from None


def _recognise(start: bytes, end: bytes, *, is_text: bool) -> Recognised:
    for offset, magic, what, way_out in _REFUSED:
        if start[offset:].startswith(magic) and not (is_text and magic in _WORDS):
            raise NotReadingsError(f"it is {what}. {way_out}")
    if start.startswith(b"PAR1") and not is_text:
        return Recognised("parquet", "its first bytes, PAR1")
    if start.startswith((ZIP, EMPTY_ZIP)):
        return Recognised("zip", "its first bytes, PK")
    if start.startswith(_OLE):
        return Recognised("xls", "its first bytes, those of Excel 97 to 2003")
    text = _text(start).lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        return _markup(text)
    if _JSON.match(text) and (found := _json(text, end)):
        return found
    if nem := _NEM.match(text):
        return Recognised(nem[1].lower(), "its first record, 100")
    if _NEM_WITHOUT_HEADER.match(text):
        return Recognised("nem12", "its records 200 and 300 (the record 100 is missing)")
    return Recognised("csv", "its text")


def kind_of_zip(file: BinaryIO) -> Recognised:
    """What a zip file is: a workbook, or an archive of files ("zip"). Raises NotReadingsError for other documents."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            is_document = "mimetype" in names and archive.getinfo("mimetype").file_size < 200
            kind = archive.read("mimetype").decode(errors="replace").strip() if is_document else ""
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise NotReadingsError(f"it is a damaged zip archive: {error}. Copy it again.") from error
    if any(name.startswith("xl/workbook.") for name in names):
        return Recognised("xlsx", "its parts, those of an Excel workbook")
    if kind.startswith("application/vnd.oasis.opendocument.spreadsheet"):
        return Recognised("ods", f"its type, {kind}")
    if kind or "[Content_Types].xml" in names:
        raise NotReadingsError(f"it is a document, but no spreadsheet. {CSV_WAY_OUT}")
    return Recognised("zip", "its first bytes, PK")


def _text(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return start[: len(start) // 2 * 2].decode("utf-16", errors="replace")
    return start.decode(errors="replace")


def _markup(text: str) -> Recognised:
    """What begins with ``<``: Green Button, or something else that is refused by the name of its root."""
    position, doctype = 0, ""
    while prolog := _PROLOG.match(text, position):
        position, doctype = prolog.end(), doctype or (prolog["doctype"] or "").lower()
    root = _ROOT.match(text, position)
    name = root["name"] if root else ""
    if doctype == "html" or name.lower() == "html":
        raise NotReadingsError(
            "it is an HTML page: perhaps a login page that was saved instead of the file, or a report that calls "
            "itself .xls. Download the file again, or open the report in a spreadsheet and save it as .xlsx."
        )
    if "urn:schemas-microsoft-com:office:spreadsheet" in text:
        raise NotReadingsError("it is a workbook in the XML of Excel 2003. Open it, and save it as .xlsx.")
    if "naesb.org/espi" in text:
        return Recognised("espi", "its XML namespace, that of Green Button (ESPI)")
    if name == "feed" and "http://www.w3.org/2005/Atom" in (root["attributes"] if root else ""):
        return Recognised("espi", "its root, an Atom feed as Green Button has it")
    what = f"whose root is <{name}>" if name else "without a root element at its start"
    raise NotReadingsError(
        f"it is an XML file {what}. The only XML that is read is that of Green Button (ESPI). {CSV_WAY_OUT}"
    )


def _json(text: str, end: bytes) -> Recognised | None:
    """What begins like JSON; None: it does not end like it."""
    first = text.partition("\n")[0]
    try:
        is_object = isinstance(json.loads(first), dict)
    except ValueError:
        # A first line that is longer than what was read.
        is_object = first == text and first.startswith("{")
    if is_object:
        return Recognised("ndjson", "its first line, a JSON object")
    if end and not end.replace(b"\x00", b"").rstrip().endswith((b"}", b"]")):
        return None
    raise NotReadingsError(
        "it is a JSON document. Write it with one object a line (NDJSON), such as by `jq -c '.[]'`, with a time, a "
        "meter and a value in each object."
    )
