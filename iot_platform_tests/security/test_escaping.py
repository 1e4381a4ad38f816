"""Text from data is shown literally in every medium; all media are tested with the same hostile texts."""

from __future__ import annotations

import csv
import datetime as dt
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib.text
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from iot_platform.alerts.mail import Mailbox, read_smtp_url
from iot_platform.alerts.message import Group, Line, Message
from iot_platform.alerts.problem import one_line
from iot_platform.alerts.webhook import payload
from iot_platform.cli import cli
from iot_platform.cli.output import say, show_table
from iot_platform.defs import bar_chart as bars
from iot_platform.defs.bar_chart import Bar, bar_chart
from iot_platform.defs.layers.chart import usage_chart
from iot_platform.defs.table_entries import markdown_table
from iot_platform.readings.files.raw_rows import Reject
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.security.escaping import escape_chat, escape_csv_cell, escape_line, escape_lines, escape_markdown
from iot_platform_tests.security.hostile import HOSTILE

DAY = dt.date(2026, 1, 5)
SEPARATORS = r'[,;|\t\r\n"]'
NUMBER = re.compile(r" *[-+]?\d+(\.\d*)?([eE][-+]?\d+)? *")
# Control characters of terminals, and characters that change the direction of text.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def as_spreadsheet(text: str) -> list[str]:
    """The cells that a spreadsheet may split a text into, with any separator."""
    return re.split(SEPARATORS, text)


def read_back(text: str) -> str:
    """The original text by the documented rule: remove an apostrophe at the beginning and after each separator."""
    return re.sub(rf"(^|(?<={SEPARATORS}))'", "", text)


@given(st.one_of(st.sampled_from(HOSTILE), st.text(st.sampled_from("=+-@\t\r\n';,|\"aE5. "), max_size=12), st.text()))
def test_no_cell_of_a_csv_is_a_formula_and_its_text_can_be_read_back(text: str) -> None:
    cell = escape_csv_cell(text)
    assert read_back(cell) == text
    for part in map(str.lstrip, as_spreadsheet(cell)):
        assert not part.startswith(("=", "@", "＝", "＠")), cell
        assert not part.startswith(("+", "-")) or NUMBER.fullmatch(part), cell


@pytest.mark.parametrize("text", ["-5", "2026-01-01T00:00:00Z,7,-5.25", "+1e-3", "a-b=c@d", "Müller & Söhne"])
def test_numbers_and_plain_texts_are_unchanged_in_a_csv(text: str) -> None:
    assert escape_csv_cell(text) == text


def test_the_report_of_rejects_contains_no_formula(tmp_path: Path) -> None:
    report = RejectReport(tmp_path / "rejects" / "report.csv", "line")
    report.add(Reject(number, "unreadable_value", text) for number, text in enumerate(HOSTILE))
    report.close()
    with (tmp_path / "rejects" / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [read_back(text) for _, _, text in rows] == [text[:2000] for text in HOSTILE]
    raw = (tmp_path / "rejects" / "report.csv").read_text(encoding="utf-8")
    assert not re.search(rf"(?:^|{SEPARATORS})[=@]", raw)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_is_plain_or_code(text: str) -> None:
    found = escape_markdown(text)
    assert "\n" not in found and "|" not in found and len(found) < 260
    outside = re.sub(r"(?<!`)(`+)(?!`)(?:.*?[^`])\1(?!`)", "", found)
    assert not re.search(r"[<\[\]!*~`@#$]|://|www\.", outside.replace("&#124;", "")), found


def test_plain_names_are_unchanged_in_markdown() -> None:
    for text in (
        "C0001",
        "residential_solar",
        "Müller GmbH (Haus 3)",
        "customer_id: C1 -> C2",
        "-12.5",
        "office, 51.5",
    ):
        assert escape_markdown(text) == text


def test_a_table_has_a_line_for_each_row_and_as_many_cells() -> None:
    lines = markdown_table(["name"], [[text] for text in HOSTILE]).split("\n")
    assert len(lines) == len(HOSTILE) + 2
    assert all(line.count("|") == 2 for line in lines)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_chat_message_mentions_nobody_and_links_nowhere(text: str) -> None:
    found = escape_chat(text)
    assert "<" not in found and ">" not in found and "\n" not in found
    assert not re.search(r"@\w|://|www\.|\]\(|!\[|&(?!amp;|lt;|gt;)", found), found
    line = Line(title=text, detail=text, link="http://127.0.0.1:3000/runs/1")
    message = Message(
        id="1", incident="1", subject=text, text=text, groups=(Group(cause=text, count=1, lines=(line,)),)
    )
    sent = payload(message)
    shown = [sent["text"], *(block["text"]["text"] for block in sent["blocks"][1:])]
    for part in shown:
        rest = part.replace("<http://127.0.0.1:3000/runs/1|", "")
        assert not re.search(r"<|@\w|://|\]\(|!\[", rest), part
    assert all(block["text"].get("verbatim", True) for block in sent["blocks"][1:])
    assert sent["blocks"][0]["text"]["emoji"] is False


CHAT_FORMATS = (
    "*bold* a*b*c **bold**",
    "_italics_ (_italics_) __proto__",
    "~struck~ ~~struck~~ ~channel",
    "`code` ```block```",
    ":smile: text:+1:text :wave::skin-tone-2: 10:30:fire:",
    "> quote",
    "# heading",
    "- item",
    "1. item",
)


@pytest.mark.parametrize("text", [*CHAT_FORMATS, *HOSTILE])
def test_a_chat_message_formats_nothing(text: str) -> None:
    found = escape_chat(text)
    assert not re.search(r"[*~`]|(?<![^\W_])_|_(?![^\W_])", found), found
    assert not re.search(r":[^\s:]*[^\d\s:][^\s:]*:", found.replace("\u200b", " ")), found
    assert not re.match(r"&gt;|[#+-]|\d+[.)]", found), found


def test_names_and_times_are_unchanged_in_a_chat() -> None:
    for text in ("l2_power_cleaned", "2026-01-05T10:30:00Z", "http error 500: bad gateway", "C1 = -5 kWh (100%)"):
        assert escape_chat(text) == text


@pytest.mark.parametrize("text", [*HOSTILE, "x\r\nBcc: victim@example.com", "x\nSubject: y\n\nbody", "\ud800"])
def test_a_mail_has_one_subject_and_no_control_characters(text: str) -> None:
    message = Message(id="1", incident="1", subject=text, text=text)
    mailbox = Mailbox(read_smtp_url(SecretStr("smtp://127.0.0.1:25")), "iot@example.com", "ops@example.com")
    mail = mailbox._mail(message)  # noqa: SLF001
    assert "Bcc" not in mail and len(mail.get_all("Subject", [])) == 1
    assert not CONTROL.search(str(mail["Subject"])) and not CONTROL.search(mail.get_content())
    assert mail.as_bytes()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_shows_control_characters(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{text}: 1 row")
    show_table(("name",), [(text,)])
    assert not CONTROL.search(capsys.readouterr().out)
    assert not CONTROL.search(escape_lines(text)) and not CONTROL.search(escape_line(text))


def test_an_error_message_contains_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;title\x07.csv"
    path.write_text("device_id\n")
    result = CliRunner().invoke(cli, ["load", "devices", str(path)])
    assert not CONTROL.search(result.output)


def test_charts_show_all_text_literally() -> None:
    seen = []
    original = matplotlib.text.Text.draw

    def draw(self: matplotlib.text.Text, *arguments: Any, **options: Any) -> None:
        seen.append((self.get_text(), self.get_parse_math()))
        original(self, *arguments, **options)

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(matplotlib.text.Text, "draw", draw)
        for start in range(0, len(HOSTILE), 6):
            texts = HOSTILE[start : start + 6]
            bar_chart("Title", "Summary", [Bar(text, 1.0, "label") for text in texts])
            usage_chart(DAY, {text: [1.0] * 24 for text in texts})
    assert any(text.startswith(r"a $\foo$ b") for text, _ in seen)
    assert not [text for text, parses in seen if parses and text]
    assert all(len(text) < 80 for text, _ in seen)


def test_two_bars_with_the_same_name_stay_two_bars() -> None:
    figure = bars._bars("Title", "Summary", [Bar("a_b", 1.0, "1"), Bar("a b", 2.0, "2")])  # noqa: SLF001
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a b", "a b"]
    assert len(figure.axes[0].patches) == 2


def test_an_alert_is_one_line_without_controls() -> None:
    for text in HOSTILE:
        line = one_line(text)
        assert not CONTROL.search(line) and "\n" not in line and len(line) <= 300


def test_surrogates_and_nul_are_escaped() -> None:
    assert escape_line("a\ud800\x00b") == r"a\ud800\x00b"
