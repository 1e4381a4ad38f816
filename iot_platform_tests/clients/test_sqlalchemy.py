"""SQLAlchemy with the dialect of clickhouse-connect: tables, inserts, expressions, reflection, errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa
from clickhouse_connect.cc_sqlalchemy.datatypes import sqltypes as ch
from clickhouse_connect.cc_sqlalchemy.ddl.tableengine import MergeTree
from clickhouse_connect.driver.client import Client
from sqlalchemy.exc import DatabaseError

from iot_platform_tests.clients.rows import HARD_TEXT, ROWS

METADATA = sa.MetaData()
METERS = sa.Table(
    "meters",
    METADATA,
    sa.Column("id", ch.UInt32, primary_key=True),
    sa.Column("name", ch.String),
    sa.Column("note", ch.Nullable(ch.String)),
    sa.Column("price", ch.Decimal(18, 4)),
    sa.Column("at", ch.DateTime64(6, "UTC")),
    MergeTree(order_by="id"),
)
FIRST = dt.datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=dt.UTC)
METER_ROWS = [
    (1, HARD_TEXT, None, Decimal("0.0001"), FIRST),
    (2, "%s :name", "ü", Decimal("-1.5"), FIRST + dt.timedelta(days=1)),
    (3, "", "", Decimal("0"), FIRST + dt.timedelta(days=2)),
]


@pytest.fixture
def engine(login: str) -> Iterator[sa.Engine]:
    created = sa.create_engine(f"clickhousedb://{login}")
    yield created
    created.dispose()


@pytest.fixture
def meters(engine: sa.Engine) -> sa.Engine:
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(METERS), [dict(zip(METERS.c.keys(), row, strict=True)) for row in METER_ROWS])
    return engine


def test_insert_and_read_back(meters: sa.Engine) -> None:
    with meters.connect() as connection:
        rows = connection.execute(sa.select(METERS).order_by(METERS.c.id)).all()
        assert [(*row[:4], row[4].replace(tzinfo=dt.UTC)) for row in rows] == METER_ROWS
        assert connection.scalar(sa.select(sa.func.sum(METERS.c.price))) == Decimal("-1.4999")


def test_bound_values_are_data(meters: sa.Engine) -> None:
    with meters.connect() as connection:
        found = sa.select(METERS.c.id).where(METERS.c.name == HARD_TEXT)
        assert connection.scalars(found).all() == [1]
        assert connection.scalars(sa.text("SELECT id FROM meters WHERE name = :name"), {"name": "%s :name"}).all() == [
            2
        ]
        assert connection.scalars(sa.select(METERS.c.id).where(METERS.c.id.in_([2, 3])).order_by("id")).all() == [2, 3]
        assert connection.scalars(sa.select(METERS.c.id).where(METERS.c.note.is_(None))).all() == [1]


def test_joins_groups_and_windows(meters: sa.Engine) -> None:
    other = METERS.alias("other")
    joined = sa.select(METERS.c.id, other.c.id.label("next")).join_from(METERS, other, METERS.c.id == other.c.id - 1)
    running = sa.select(METERS.c.id, sa.func.sum(METERS.c.price).over(order_by=METERS.c.id).label("total"))
    grouped = (
        sa.select(sa.func.length(METERS.c.name) > 0, sa.func.count()).group_by(sa.text("1")).order_by(sa.text("1"))
    )
    with meters.connect() as connection:
        assert [tuple(row) for row in connection.execute(joined.order_by(METERS.c.id))] == [(1, 2), (2, 3)]
        assert [row.total for row in connection.execute(running.order_by(METERS.c.id))] == [
            Decimal("0.0001"), Decimal("-1.4999"), Decimal("-1.4999"),
        ]  # fmt: skip
        assert [tuple(row) for row in connection.execute(grouped)] == [(0, 1), (1, 2)]


def test_reflection(filled: Client, engine: sa.Engine, database: str) -> None:
    inspector = sa.inspect(engine)
    assert sorted(inspector.get_table_names()) == ["empty", "t"]
    assert database in inspector.get_schema_names()
    table = sa.Table("t", sa.MetaData(), autoload_with=engine)
    assert list(table.c.keys()) == list(ROWS[0]._fields)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table.c.id, table.c.small, table.c.note).order_by(table.c.id)).all()
    assert [tuple(row) for row in rows] == [(row.id, row.small, row.note) for row in ROWS]


def test_create_and_drop(engine: sa.Engine) -> None:
    METADATA.create_all(engine)
    assert sa.inspect(engine).has_table("meters")
    METADATA.create_all(engine)  # once more: checks first
    METADATA.drop_all(engine)
    assert not sa.inspect(engine).has_table("meters")


def test_errors_are_errors(meters: sa.Engine) -> None:
    with meters.connect() as connection:
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            connection.execute(sa.text("SELECT * FROM nope"))
        with pytest.raises(DatabaseError, match="SYNTAX_ERROR"):
            connection.execute(sa.text("SELECT FROM WHERE"))
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_a_wrong_password(login: str) -> None:
    engine = sa.create_engine(f"clickhousedb://default:wrong@{login.rpartition('@')[2]}")
    with pytest.raises(DatabaseError, match="516"):
        engine.connect()
