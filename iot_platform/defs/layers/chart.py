"""A chart for each day: energy per hour (L4), reject reasons (quarantine), readings with metadata (L3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from iot_platform.clickhouse.client import quoted
from iot_platform.defs.bar_chart import CARD, COLOURS, FAINT, INK, MUTED, Bar, bar_chart, picture
from iot_platform.defs.decoration import decoration
from iot_platform.defs.partitions import days_of_run
from iot_platform.defs.resources import ClickHouse
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, L3, QUARANTINE
from iot_platform.security.escaping import escape_label

if TYPE_CHECKING:  # matplotlib is imported only to draw, as in bar_chart.py
    from matplotlib.figure import Figure

# The newest days of a run get a chart.
DAYS_WITH_CHART = 31
# The largest building types have a colour of their own; the others share the last one.
MAX_TYPES = 6
NO_METADATA = "no metadata"

# kWh of each hour of a day (24 values) by building type.
Curves = Mapping[str, Sequence[float]]
# The rows of a day, without the day.
Rows = list[tuple[Any, ...]]


def add_usage_charts(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Add the usage curve to the metadata of the run's newest days of L4."""
    sql = (
        "SELECT toDate(ts_hour) AS day, building_type, toHour(ts_hour), sum(total_kWh) "
        f"FROM {quoted(BY_DEVICE_HOURLY.name)} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} GROUP BY 1, 2, 3"
    )
    _add_charts(context, clickhouse, BY_DEVICE_HOURLY.name, "usage_of_the_day", sql, _usage_of)


def add_reject_charts(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Add the rejects by reason to the metadata of the run's newest days of the quarantine."""
    sql = (
        f"SELECT toDate(timestamp) AS day, reject_reason, count(), uniqExact(device_id) FROM {quoted(QUARANTINE.name)} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    )
    _add_charts(context, clickhouse, QUARANTINE.name, "rejects_by_reason", sql, _rejects_of)


def add_coverage_charts(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Add the share of readings with metadata, by building type, to the metadata of the run's newest days of L3."""
    sql = (
        f"SELECT toDate(timestamp) AS day, if(has_metadata, toString(building_type), '{NO_METADATA}'), count(), "
        f"uniqExact(device_id) FROM {quoted(L3.name)} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    )
    _add_charts(context, clickhouse, L3.name, "enrichment_by_building_type", sql, _coverage_of)


def _add_charts(
    context: dg.AssetExecutionContext,
    clickhouse: ClickHouse,
    asset: str,
    name: str,
    sql: str,
    draw: Callable[[dt.date, Rows], dg.MarkdownMetadataValue],
) -> None:
    """Draw each day separately: if one fails, the other days still get their charts."""
    rows: dict[dt.date, Rows] = {}
    with decoration(context, f"{name} of {asset}"):
        rows = _rows_of_days(context, clickhouse, asset, sql)
    for day, found in rows.items():
        with decoration(context, f"{name} of {asset} on {day}"):
            context.add_asset_metadata({name: draw(day, found)}, partition_key=day.isoformat())


def _usage_of(day: dt.date, rows: Rows) -> dg.MarkdownMetadataValue:
    curves: dict[str, list[float]] = {}
    for building_type, hour, kWh in rows:
        curves.setdefault(building_type, [0.0] * 24)[hour] = kWh
    return usage_chart(day, curves)


def _rejects_of(day: dt.date, rows: Rows) -> dg.MarkdownMetadataValue:
    bars = [Bar(reason, count, f"{count:,} readings of {devices:,} devices") for reason, count, devices in rows]
    return bar_chart(f"Rejected on {day}", f"{sum(bar.value for bar in bars):,.0f} readings were rejected", bars)


def _coverage_of(day: dt.date, rows: Rows) -> dg.MarkdownMetadataValue:
    total = sum(readings for _, readings, _ in rows)
    bars = [Bar(name, n, f"{n / total:.1%}: {n:,} readings of {devices:,} devices") for name, n, devices in rows]
    missing = sum(readings for name, readings, _ in rows if name == NO_METADATA)
    summary = f"{1 - missing / total:.2%} of {total:,} readings have metadata"
    return bar_chart(f"Readings by building type on {day}", summary, bars)


def _rows_of_days(
    context: dg.AssetExecutionContext, clickhouse: ClickHouse, asset: str, sql: str
) -> dict[dt.date, Rows]:
    """The rows of a query, whose first column is the day, for the run's newest days that have any."""
    days = days_of_run(context)[-DAYS_WITH_CHART:]
    if not days:
        return {}
    with clickhouse.session(context.run, asset) as client:
        rows = client.query(sql, parameters={"first": days[0], "last": days[-1]}).result_rows
    found: dict[dt.date, Rows] = {}
    for day, *values in rows:
        found.setdefault(day, []).append(tuple(values))
    return {day: found[day] for day in days if day in found}


def usage_chart(day: dt.date, curves: Curves) -> dg.MarkdownMetadataValue:
    """Energy per UTC hour, stacked by building type, as a PNG inside Markdown."""
    return picture(f"Energy per hour on {day}", lambda: _figure(day, _largest_first(curves)))


def _largest_first(curves: Curves) -> dict[str, Sequence[float]]:
    """Building types by energy; those beyond MAX_TYPES are added up."""
    ranked = sorted(curves.items(), key=lambda item: (-sum(item[1]), item[0]))
    largest = dict(ranked[:MAX_TYPES])
    if rest := [values for _, values in ranked[MAX_TYPES:]]:
        largest[f"{len(rest)} others"] = [sum(hour) for hour in zip(*rest, strict=True)]
    return largest


def _figure(day: dt.date, curves: Curves) -> Figure:
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    # A fixed layout: computing one takes longer than the drawing.
    figure = Figure(figsize=(9, 4.2), dpi=110, facecolor=CARD)
    axes = figure.add_axes((0.075, 0.12, 0.655, 0.72), facecolor=CARD)
    bottom = [0.0] * 24
    for (building_type, values), colour in zip(curves.items(), COLOURS, strict=False):
        name = f"{escape_label(building_type.replace('_', ' '))}  {sum(values):,.0f} kWh"
        top = [below + value for below, value in zip(bottom, values, strict=True)]
        # One collection for 24 bars: bar() makes an object for each, which takes as long as the rest of the picture.
        bars = [_bar(hour, *span) for hour, span in enumerate(zip(bottom, top, strict=True))]
        axes.add_collection(PolyCollection(bars, facecolors=colour, label=name))
        bottom = top
    peak = max(range(24), key=lambda hour: bottom[hour])
    summary = f"{sum(bottom):,.0f} kWh, most from {peak:02d} to {peak + 1:02d} h: {bottom[peak]:,.0f} kWh"
    axes.set_title(f"{day:%A}, {day.day} {day:%B %Y}", loc="left", fontsize=14, fontweight="bold", color=INK, pad=26)
    axes.text(0, 1.035, summary, transform=axes.transAxes, fontsize=11, color=MUTED)
    axes.set_xlim(0, 24)
    axes.set_ylim(0, 1.05 * bottom[peak] or 1)
    axes.set_xticks(range(0, 25, 3), [f"{hour:02d}" for hour in range(0, 25, 3)])
    axes.set_xlabel("hour (UTC)", color=INK)
    axes.set_ylabel("kWh per hour", color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    # The legend has the same order as the stack, from the top down.
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, labelcolor=INK, fontsize=10, reverse=True)
    return figure


def _bar(hour: int, bottom: float, top: float) -> list[tuple[float, float]]:
    """Corners of a bar, with a gap to the next one."""
    left, right = hour, hour + 0.86
    return [(left, bottom), (right, bottom), (right, top), (left, top)]
