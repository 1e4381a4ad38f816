"""A bar chart as a picture in the metadata of an asset: one bar per line, the largest on top."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from iot_platform.security.escaping import escape_label

if TYPE_CHECKING:  # matplotlib takes long to import, and most Dagster processes draw nothing
    from matplotlib.figure import Figure

# Colours that people with colour blindness can distinguish (Okabe and Ito), on a background of the picture's own, so
# that it is readable in the light and the dark theme.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#9aa3af")
CARD, INK, MUTED, FAINT = "#ffffff", "#1f2933", "#5b6672", "#d8dde3"
MAX_BARS = 20


@dataclass(frozen=True)
class Bar:
    """A name, the length of its bar, and the text after it."""

    name: str
    value: float
    label: str


def bar_chart(title: str, summary: str, bars: Sequence[Bar]) -> dg.MarkdownMetadataValue:
    """Horizontal bars as a PNG inside Markdown."""
    return picture(title, lambda: _bars(title, summary, bars[:MAX_BARS]))


def picture(name: str, draw: Callable[[], Figure]) -> dg.MarkdownMetadataValue:
    """The figure that ``draw`` makes, as a PNG inside Markdown; all text in it is literal. ``name`` is our own text."""
    from matplotlib import rc_context

    png = io.BytesIO()
    with rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        # The font lacks the characters of many scripts, and draws a box for each.
        warnings.simplefilter("ignore", UserWarning)
        draw().savefig(png, format="png")
    encoded = base64.b64encode(png.getvalue()).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{encoded})")


def _bars(title: str, summary: str, shown: Sequence[Bar]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.3 + 0.34 * max(1, len(shown))), dpi=110, facecolor=CARD)
    height = figure.get_figheight()
    axes = figure.add_axes((0.22, 0.15 / height, 0.6, 1 - 1.0 / height), facecolor=CARD)
    # Placed by position, not by name: two names may be equal.
    places = range(len(shown))
    axes.barh(places, [bar.value for bar in shown], color=COLOURS[0], height=0.66)
    axes.set_yticks(places, [escape_label(bar.name.replace("_", " ")) for bar in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, max((bar.value for bar in shown), default=0) or 1)
    for row, bar in enumerate(shown):
        axes.text(bar.value, row, f"  {bar.label}", va="center", color=INK, fontsize=10, clip_on=False)
    figure.text(0.02, 1 - 0.32 / height, title, fontsize=14, fontweight="bold", color=INK)
    figure.text(0.02, 1 - 0.6 / height, summary, fontsize=11, color=MUTED)
    axes.xaxis.set_visible(False)
    axes.tick_params(colors=INK, length=0)
    axes.spines[:].set_visible(False)
    return figure
