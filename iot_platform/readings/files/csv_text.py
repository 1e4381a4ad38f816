"""The text of a file as UTF-8, whatever encoding it has."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from iot_platform.errors import SourceError

# The header of a file lies in its first bytes.
START_BYTES = 1 << 20
UTF8 = "utf-8"
# What programs for Windows write if they do not write UTF-8. It contains Latin-1.
WINDOWS = "cp1252"
BOM = b"\xef\xbb\xbf"
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_NAMES = {UTF8: "UTF-8", WINDOWS: "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
# Without a mark, Latin letters and digits show UTF-16: each is a character below 128 with a zero byte.
_PLAIN_UTF16 = {"utf-16-le": rb"(?:[\t\r\n -~]\x00){4,}", "utf-16-be": rb"(?:\x00[\t\r\n -~]){4,}"}


def known_encoding(name: str) -> str:
    """The usual name of an encoding of text. Raises ValueError for other names."""
    try:
        found = codecs.lookup(name).name
        is_text = "A,;1".encode(found) in (b"A,;1", "A,;1".encode("utf-16-le"), "A,;1".encode("utf-16-be"))
    except (LookupError, UnicodeError, TypeError, ValueError):
        is_text, found = False, ""
    if name.lower().replace("_", "-") in ("utf-16", "utf16", "utf-8-sig"):
        # The mark at its start says more.
        return "utf-16" if "16" in name else UTF8
    if not is_text:
        raise ValueError(f"unknown encoding {name!r}. Use a name such as utf-8, utf-16, cp1252, iso8859-15 or cp1250.")
    return found


class Utf8Text:
    """Reads a file of any encoding as UTF-8. Bytes that are no text in its encoding stay bytes that are not UTF-8.

    ``start``: the first bytes as they are, without a mark at their beginning. ``encoding_from``: how it is known.
    """

    def __init__(self, file: BinaryIO, encoding: str | None) -> None:
        """``encoding``: a given one, by ``known_encoding``. Raises SourceError if that cannot be the right one."""
        self._file = file
        self._kept = self._read_start()
        self.encoding, self.encoding_from = UTF8, "assumed"
        mark = next((mark for mark in _MARKS if self._kept.startswith(mark)), b"")
        if encoding not in (None, "utf-16"):
            self.encoding, self.encoding_from = str(encoding), "given"
        elif mark:
            self.encoding, self.encoding_from = _MARKS[mark], "its first bytes"
        else:
            found = [name for name, pattern in _PLAIN_UTF16.items() if re.match(pattern, self._kept)]
            if found:
                self.encoding, self.encoding_from = found[0], "its zero bytes"
            elif encoding and self._kept:
                raise SourceError(
                    "--encoding utf-16 needs a mark (BOM) at the start of the file, and there is none. Say --encoding "
                    "utf-16-le or utf-16-be, or leave it out."
                )
        self._decoder = _decoder(self.encoding)
        self.is_whole = len(self._kept) < START_BYTES

    def take(self, encoding: str, known_from: str) -> None:
        """Read the text in another encoding; before anything of it was read."""
        self.encoding, self.encoding_from = encoding, known_from
        self._decoder = _decoder(encoding)

    @property
    def start(self) -> bytes:
        """The first bytes of the text, as UTF-8 (unless ``take`` is called later)."""
        return transcoded(self._kept, self.encoding)

    def read(self, size: int) -> bytes:
        """The next bytes of the file (at most ``size``), as UTF-8. Raises OSError if they cannot be unpacked."""
        while True:
            piece, self._kept = self._kept[:size], self._kept[size:]
            if len(piece) < size:
                piece += self._file.read(size - len(piece))
            if self.encoding == UTF8:
                return piece
            text = _as_utf8(self._decoder.decode(piece))
            if text:
                return text
            if not piece:
                # Half a character at the end is an error of the last line.
                rest = self._decoder.getstate()[0]
                self._decoder.reset()
                return b"\xff" if rest else b""

    def _read_start(self) -> bytes:
        start = b""
        while len(start) < START_BYTES and (piece := self._file.read(START_BYTES - len(start))):
            start += piece
        return start


def transcoded(content: bytes, encoding: str) -> bytes:
    """The start of a text as UTF-8; half a character at its end is left out."""
    return content if encoding == UTF8 else _as_utf8(_decoder(encoding).decode(content))


def name_of_encoding(encoding: str) -> str:
    """The name of an encoding for people."""
    return _NAMES.get(encoding, encoding)


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    # Bytes without a meaning become characters that no UTF-8 has.
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    return codecs.getincrementaldecoder(encoding)(errors)


def _as_utf8(text: str) -> bytes:
    text = text.removeprefix("\ufeff")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b"".join(_lone_bytes(character) for character in text)


def _lone_bytes(character: str) -> bytes:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00])
    return character.encode(errors="surrogatepass")
