"""Tokens of ClickHouse SQL, in one pass over the text.

It has two uses. It finds where the statement of an INSERT ends and its data begins. And it reads the engine's rendering
of a statement (see statement_checker.py), which has no comments, no heredocs and one notation for strings. What a
client may do never depends on this lexer alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Each alternative either matches in one pass over its characters or fails at the first one, so the time is proportional
# to the length of any text. An opening quote that is not closed extends to the end of the text ("unclosed").
_TOKEN = re.compile(
    r"""
    (?P<space>[\s\ufeff\x00]+)
  | (?P<comment>(?:--|//|\#[ !])[^\n]*)
  | (?P<block>/\*)
  | (?P<string>'(?:[^'\\]++|\\.|'')*+'|‘[^’]*+’)
  | (?P<quoted>`(?:[^`\\]++|\\.|``)*+`|"(?:[^"\\]++|\\.|"")*+"|“[^”]*+”)
  | (?P<unclosed>['`"‘“])
  | (?P<heredoc>\$(?P<tag>[A-Za-z0-9_]*)\$)
  | (?P<word>[A-Za-z_][\w$]*)
  | (?P<number>\d\w*(?:[ ]?,[ ]?\d\w*)*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_HEREDOC_EDGE = re.compile(r"\$(?=([A-Za-z0-9_]*)\$)")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(x..|.)|(['`\"])\2", re.DOTALL)
# As ClickHouse decodes them: \N is an empty text, and an unknown letter keeps its backslash.
_ESCAPED = dict(zip("ntr0bfaveN", ("\n", "\t", "\r", "\0", "\b", "\f", "\a", "\v", "\x1b", ""), strict=True))
_ITSELF = frozenset("\\'\"`/=")
_HEX = "0123456789abcdef"
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def words(text: str) -> frozenset[str]:
    """The set of the words in ``text``."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (word, quoted, string, number, mark, unclosed), its text and its position."""

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
        # ClickHouse does not check the digits: any other character counts as 255, and the sum overflows.
        high, low = (_HEX.index(digit) if digit in _HEX else 255 for digit in letter[1:].lower())
        return chr((high * 16 + low) % 256)
    return letter if letter in _ITSELF else _ESCAPED.get(letter, "\\" + letter)


@dataclass
class _Heredocs:
    """The last position of each ``$tag$``, found in one pass when it is first needed."""

    text: str
    last: dict[str, int] | None = field(default=None)

    def end(self, tag: str, begin: int) -> int | None:
        """The end of the heredoc whose content begins at ``begin``, or None when nothing closes it."""
        if self.last is None:
            self.last = {match.group(1): match.start() for match in _HEREDOC_EDGE.finditer(self.text, begin)}
        if self.last.get(tag, -1) < begin:
            return None
        mark = f"${tag}$"
        return self.text.index(mark, begin) + len(mark)


def tokens(text: str) -> Iterator[Token]:
    """The tokens of ``text`` without white space and comments; lazily, so that data after a statement is not read.

    A list of numbers is one token. An unclosed quote and the rest of the text are one token of kind "unclosed".
    """
    heredocs = _Heredocs(text)
    position = 0
    while match := _TOKEN.match(text, position):
        kind = "heredoc" if match.group("heredoc") is not None else match.lastgroup or "mark"
        start, position = match.start(), match.end()
        if kind in ("space", "comment"):
            continue
        if kind == "block":
            position = _end_of_comment(text, position)
            continue
        if kind == "unclosed":
            position = len(text)
        elif kind == "heredoc":
            end = heredocs.end(match.group("tag"), position)
            kind, position = ("mark", start + 1) if end is None else ("string", end)
        yield Token(kind, text[start:position], start, position)


def with_depth(found: Sequence[Token], begin: int = 0) -> Iterator[tuple[int, Token, int]]:
    """The tokens from position ``begin`` on, each with its position and the number of brackets open after it."""
    depth = 0
    for index in range(begin, len(found)):  # no slice: a statement may have thousands of calls
        depth += _BRACKETS.get(found[index].text, 0)
        yield index, found[index], depth


def unclosed_heredocs(text: str) -> int:
    """The number of different ``$tag$`` that occur once. The engine searches the whole text to close each of them."""
    if "$" not in text:
        return 0
    return sum(count == 1 for count in Counter(match.group(1) for match in _HEREDOC_EDGE.finditer(text)).values())


def _end_of_comment(text: str, position: int) -> int:
    """The end of a block comment. Comments nest in ClickHouse: ``/* a /* b */ c */`` is one."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position
