"""What a document contains: headings, links, code spans and code blocks, each with its line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*")


@dataclass(frozen=True)
class Found:
    """A text and the line it starts in, counted from 1."""

    text: str
    line: int


@dataclass(frozen=True)
class Block:
    """A code block. ``is_run``: nothing in front of it says that it cannot run here."""

    language: str
    text: str
    line: int
    is_run: bool


@dataclass(frozen=True)
class Document:
    """The parts of a Markdown file that tests look at."""

    anchors: frozenset[str]
    links: tuple[Found, ...]
    spans: tuple[Found, ...]
    blocks: tuple[Block, ...]


@cache
def read(path: Path) -> Document:
    """Parse a Markdown file as GitHub does."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(path.read_text(encoding="utf-8"))
    return Document(
        frozenset(_anchors(tokens)),
        tuple(_inline(tokens, "link_open", "href")) + tuple(_inline(tokens, "image", "src")),
        tuple(_spans(tokens)),
        tuple(_blocks(tokens)),
    )


def _anchors(tokens: list[Token]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for opening, inline in zip(tokens, tokens[1:], strict=False):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or [])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            yield f"{slug}-{seen[slug]}" if seen[slug] else slug
            seen[slug] += 1


def _children(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    for token in tokens:
        for child in token.children or []:
            yield child, (token.map or [0])[0] + 1


def _inline(tokens: list[Token], kind: str, attribute: str) -> Iterator[Found]:
    for child, line in _children(tokens):
        if child.type == kind:
            yield Found(str(child.attrs[attribute]), line)


def _spans(tokens: list[Token]) -> Iterator[Found]:
    for child, line in _children(tokens):
        if child.type == "code_inline":
            yield Found(child.content, line)


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    before = ""
    for token in tokens:
        if token.type == "fence":
            yield Block(token.info.strip(), token.content, (token.map or [0])[0] + 1, not NOT_RUN.fullmatch(before))
        before = token.content if token.type == "html_block" else ""
