"""Escape text from data for the medium that shows it: one function per medium.

A customer's name, a line of a file or an error message may contain markup, formulas, mentions or control characters.
Code that shows text it has not written itself must pass it through the function of its medium. (The dashboard's pages
have theirs in dashboard/static/js/escape.js.)
"""

from __future__ import annotations

import re
import unicodedata

CELL_LENGTH, LABEL_LENGTH = 200, 26

# Zero-width joiners: many scripts and emoji need them, and they hide nothing.
_JOINERS = "\u200c\u200d"
# Text without Markdown syntax. All other text goes into a code span, in which Markdown is not interpreted.
_PLAIN_MARKDOWN = re.compile(r"(?!>|[-+] |\d+[.)] )[\w .,:;()+/%='\"…–>-]*")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# Characters with which a chat begins a mention, link, picture or emoji. A zero-width space after them prevents that.
# The lookbehind for two digits keeps times such as 10:30:00 unchanged.
_CHAT_SYNTAX = re.compile(
    r"@(?=\S)|:(?=//)|www(?=\.)|(?<=])(?=[(\[:])|!(?=\[)|(?!(?<=\d\d):\d\d:):(?=[^\s:]+:)", re.IGNORECASE
)
# Makes a line a quote, a heading or a list.
_CHAT_LINE_START = re.compile(r"[>#+-]|\d+[.)]")
_ZERO_WIDTH_SPACE = "\u200b"
# Bold, strike-through and code. Slack has no escape for these characters, and a zero-width space does not disable them,
# so look-alike characters replace them. Underscores mean italics only at the edge of a word.
_CHAT_FORMATS = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_LOW_LINE = "\u02cd"
# The start of a cell (after any separator that a spreadsheet may use) that would be a formula.
_FORMULA = re.compile(
    r"(?:^|(?<=[,;|\t\r\n\"]))"
    r"(?! *[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)? *(?:[,;|\t\r\n\"]|$))"
    r"(?= *[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n'])"
)


def escape_line(text: str, limit: int | None = None) -> str:
    """One line of plain text, such as a mail's subject: at most ``limit`` characters, none of them hidden.

    White space becomes single spaces; control and direction characters are written as escapes, e.g. ``\\x1b``.
    """
    line = _without_controls(" ".join(text.split()))
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def escape_lines(text: str) -> str:
    """Plain text for a terminal, a log or the body of a mail: as escape_line, but lines and spaces are kept."""
    return "\n".join(_without_controls(line.expandtabs()) for line in text.split("\n"))


def escape_label(text: str) -> str:
    """The label of a bar or a curve in a chart. (The charts also turn off mathematical notation.)"""
    return escape_line(text, LABEL_LENGTH)


def escape_markdown(text: object, limit: int = CELL_LENGTH) -> str:
    """Text within a line or a table cell of Markdown.

    Text with any markup becomes a code span: only there are links, HTML and mentions ignored.
    """
    # A bar ends a table cell, even within a code span.
    return "&#124;".join(map(_literal_markdown, escape_line(str(text), limit).split("|")))


def markdown_code_block(text: str, language: str = "") -> str:
    """A block of code in Markdown that contains the text."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{escape_lines(text)}\n{fence}"


def escape_chat(text: str) -> str:
    """Text for Slack's ``mrkdwn`` and Mattermost's Markdown: no mention, link, picture, emoji or formatting.

    Slack reads ``&``, ``<`` and ``>``; Mattermost reads ``@name``, addresses, and Markdown's links and pictures; both
    read ``*bold*``, ``_italics_``, ``~struck~``, code and ``:emoji:``.
    """
    line = escape_line(text).translate(_CHAT_FORMATS)
    line = _OUTER_UNDERSCORE.sub(_LOW_LINE, line)
    line = _CHAT_SYNTAX.sub(lambda match: f"{match[0]}{_ZERO_WIDTH_SPACE}", line)
    if _CHAT_LINE_START.match(line):
        line = f"{_ZERO_WIDTH_SPACE}{line}"
    return _slack_entities(line)


def chat_link(url: str, text: str) -> str:
    """A link to one of our own pages in a chat message; ``text`` is what it shows."""
    return f"<{_slack_entities(escape_line(url).replace('|', '%7C'))}|{escape_chat(text)}>"


def escape_csv_cell(text: str) -> str:
    """The text of a CSV cell that no spreadsheet interprets as a formula.

    An apostrophe is put before each ``=``, ``+``, ``-``, ``@``, tab, line end and apostrophe at the beginning of the
    cell or after a separator within it (comma, semicolon, bar, tab, line end or quote); a number such as -5 is kept as
    it is. To get the text back, remove one apostrophe from the beginning of the cell and after each separator.
    """
    return _FORMULA.sub("'", text)


def _without_controls(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _JOINERS else _escape(char) for char in text)


def _escape(char: str) -> str:
    # Zs: the no-break space and similar ones; line separators have other categories.
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode("ascii")


def _literal_markdown(text: str) -> str:
    if _PLAIN_MARKDOWN.fullmatch(text) and not _LINK.search(text):
        return _OUTER_UNDERSCORE.sub(r"\_", text)
    return _code_span(text)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _code_span(text: str) -> str:
    if not text.strip():
        return text
    fence = "`" * (_longest_run(text) + 1)
    padding = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _slack_entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
