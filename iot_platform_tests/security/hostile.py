"""Hostile texts for names of customers, building types and meters: each has a meaning in some medium."""

from __future__ import annotations

# This host does not exist: a browser requests it only if it has interpreted one of the texts.
HOST = "evil.invalid"

HOSTILE = (
    f"![p](http://{HOST}/p.png)",
    f"<img src=http://{HOST}/i.png onerror=window.hostile=1>",
    f"<a href='http://{HOST}/'>click</a>",
    f"[click](http://{HOST}/)",
    f"<http://{HOST}/auto>",
    f"http://{HOST}/bare www.{HOST} a@{HOST}",
    f"<!channel> <@U123> <http://{HOST}/slack|x>",
    "@channel @here @all",
    "<script>window.hostile=1</script>",
    "<b>bold</b><br>line<sub>s</sub>",
    "&lt;b&gt; &amp;amp; &#33;",
    r"a $\foo$ b",
    "$",
    "a|b|c",
    r"a\|b",
    "`code` ```block",
    "# heading",
    "> quote",
    "- item",
    "_a_ **b** ~~c~~",
    "__proto__",
    "constructor",
    "%{x} %{fullData.name} {{ 7*7 }} ${7*7}",
    "=cmd()",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "'quoted",
    "one\ttab;=cmd()",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "two\r\nlines",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "nul\x00l",
    "Ünïcødé 漢字 🙂 שלום",
    "a_b",
    "a b",
    "x" * 3000,
)
