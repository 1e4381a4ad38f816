"""Tokens of ClickHouse SQL: just enough to know code from comments, literals and quoted names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>[\s\ufeff\x00]+)
  | (?P<comment>--[^\n]*|\#[ !][^\n]*)
  | (?P<block>/\*)
  | (?P<string>'(?:[^'\\]|\\.|'')*'|‘[^’]*’)
  | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|“[^”]*”)
  | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<word>[A-Za-z_][\w$]*)
  | (?P<number>\d\w*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(x..|.)|(['`\"])\2", re.DOTALL)
# As ClickHouse decodes them: \N is nothing at all, and an unknown letter keeps its backslash.
_ESCAPED = dict(zip("ntr0bfaveN", ("\n", "\t", "\r", "\0", "\b", "\f", "\a", "\v", "\x1b", ""), strict=True))
_ITSELF = frozenset("\\'\"`/=")
_HEX = "0123456789abcdef"


def words(text: str) -> frozenset[str]:
    """The set of the words in ``text``."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (word, quoted, string, number, mark), its text and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The keyword in upper case; empty for anything that is not a bare word."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier, bare or quoted; empty for anything else."""
        if self.kind == "word":
            return self.text
        return self.value if self.kind == "quoted" else ""

    @property
    def value(self) -> str:
        """The content of a string literal or of a quoted name."""
        if self.text.startswith("$"):
            edge = self.text.index("$", 1) + 1
            return self.text[edge:-edge]
        return _ESCAPE.sub(_unescape, self.text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    letter = match.group(1)
    if letter is None:
        return match.group(2)
    if len(letter) == 3:
        # ClickHouse does not check the digits: any other letter counts as 255, and the sum overflows.
        high, low = (_HEX.index(digit) if digit in _HEX else 255 for digit in letter[1:].lower())
        return chr((high * 16 + low) % 256)
    return letter if letter in _ITSELF else _ESCAPED.get(letter, "\\" + letter)


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """The tokens of ``text`` without white space and comments; lazily, so that data behind a statement is not read."""
    position = start
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup or "mark"
        position = match.end()
        if kind == "block":
            position = _end_of_comment(text, position)
        elif kind not in ("space", "comment"):
            if match.group("heredoc") is not None:
                kind = "string"
            yield Token(kind, match.group(), match.start(), position)


def _end_of_comment(text: str, position: int) -> int:
    """Comments nest in ClickHouse: ``/* a /* b */ c */`` is one."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position
