"""Text from data made literal for the medium that shows it: one function per medium.

A customer's name, a line of a file or an error message may hold markup, formulas, mentions or control characters.
Whatever shows text that this program has not written itself passes it through the function of its medium. (The
dashboard's pages have theirs in dashboard/static/js/escape.js.)
"""

from __future__ import annotations

import re
import unicodedata

CELL_LENGTH, LABEL_LENGTH = 200, 26

# They join letters and emoji of many scripts, and hide nothing.
_JOINERS = "\u200c\u200d"
# Markdown without any meaning in the middle of a line. The rest stands in a code span, where nothing has a meaning.
_PLAIN_MARKDOWN = re.compile(r"(?!>|[-+] |\d+[.)] )[\w .,:;()+/%='\"…–>-]*")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# What a chat makes links, pictures or mentions of. A space without width inside of it keeps the text readable.
_CHAT_SIGNS = re.compile(r"@(?=\S)|:(?=//)|www(?=\.)|(?<=])(?=[(\[:])|!(?=\[)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"
# Where a spreadsheet begins a cell, whichever separator it takes, and what makes that cell a formula.
_FORMULA = re.compile(
    r"(?:^|(?<=[,;|\t\r\n\"]))"
    r"(?! *[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)? *(?:[,;|\t\r\n\"]|$))"
    r"(?= *[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n'])"
)


def escape_line(text: str, limit: int | None = None) -> str:
    """The text for plain text of one line, such as a mail's subject: at most ``limit`` characters, none of them hidden.

    White space becomes single spaces; control and direction characters are written as escapes, e.g. ``\\x1b``.
    """
    line = _without_controls(" ".join(text.split()))
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def escape_lines(text: str) -> str:
    """The text for a terminal, a log or the body of a mail: as ``visible``, but its lines and spaces stay."""
    return "\n".join(_without_controls(line.expandtabs()) for line in text.split("\n"))


def escape_label(text: str) -> str:
    """The text beside a bar or a curve. (What draws it also switches mathematical notation off.)"""
    return escape_line(text, LABEL_LENGTH)


def escape_markdown(text: object, limit: int = CELL_LENGTH) -> str:
    """The text inside a line or a table cell of Markdown.

    What is not plain becomes a code span: it is the only place where neither links nor HTML nor mentions are read.
    """
    # A bar would end the cell, also in a code span.
    return "&#124;".join(map(_literal_markdown, escape_line(str(text), limit).split("|")))


def markdown_code_block(text: str, language: str = "") -> str:
    """The text as a block of code in Markdown."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{escape_lines(text)}\n{fence}"


def escape_chat(text: str, limit: int | None = None) -> str:
    """The text for Slack's ``mrkdwn`` and for Mattermost's Markdown: no mention, no link, no picture.

    Slack reads ``&``, ``<`` and ``>``; Mattermost reads ``@name``, addresses and Markdown's links and pictures.
    """
    shown = _CHAT_SIGNS.sub(lambda match: f"{match[0]}{_ZERO_WIDTH_SPACE}", escape_line(text, limit))
    return _slack_entities(shown)


def chat_link(url: str, text: str) -> str:
    """A link of our own in a chat message, named by a text."""
    return f"<{_slack_entities(escape_line(url).replace('|', '%7C'))}|{escape_chat(text)}>"


def escape_csv_cell(text: str) -> str:
    """The text for a cell of a CSV that a person may open in a spreadsheet: never a formula.

    An apostrophe stands before each ``=``, ``+``, ``-``, ``@``, tab, line end and apostrophe that begins the cell or
    follows a separator (comma, semicolon, bar, tab, line end or quote) in it; a number such as -5 stays as it is. To
    read the text back, remove one apostrophe from the beginning of the cell and after each separator.
    """
    return _FORMULA.sub("'", text)


def _without_controls(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in _JOINERS else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    # A no-break space and its like; not the separators of lines.
    if unicodedata.category(sign) == "Zs":
        return " "
    return sign.encode("unicode_escape").decode("ascii")


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
