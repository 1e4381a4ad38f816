"""Convert between bytes and text without losing bytes of a client that are not UTF-8."""

from __future__ import annotations


def encoded(text: str) -> bytes:
    """The client's bytes that ``decoded`` converted to ``text``."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes | bytearray) -> str:
    """``data`` as text; bytes that are not UTF-8 become lone surrogates, which ``encoded`` converts back."""
    return data.decode("utf-8", "surrogateescape")


def header_text(value: str) -> str:
    """The text of a header value, which the HTTP server decodes as Latin-1."""
    return decoded(value.encode("latin-1"))
