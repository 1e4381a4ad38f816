"""The .sql files are split at the right semicolons, and plain clickhouse-client can run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iot_platform.clickhouse.statements import Guard, Migration, read_migrations, split_statements
from iot_platform.errors import MigrationError
from iot_platform.settings import Settings


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1;\n\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("-- a; b\nSELECT 1; -- c; d\n/* e; */ SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';', `a;b`, \"c;d\"; SELECT 2", ["SELECT ';', `a;b`, \"c;d\"", "SELECT 2"]),
        ("SELECT 'it''s;', 'x\\';'; SELECT 2", ["SELECT 'it''s;', 'x\\';'", "SELECT 2"]),
        (";;\n", []),
        ("-- nothing\n", []),
    ],
)
def test_statements_end_at_semicolons_outside_of_text_and_comments(text: str, statements: list[str]) -> None:
    assert list(split_statements(text)) == statements


def test_every_statement_of_the_schema_can_be_repeated() -> None:
    for migration in read_migrations(Settings().sql_dir):
        for statement in migration.statements():
            first = statement.splitlines()[0]
            creates = first.startswith("CREATE ") and "IF NOT EXISTS" in first
            adds = first.startswith("ALTER TABLE ") and "ADD COLUMN" in statement
            adds = adds and statement.count("ADD COLUMN ") == statement.count("ADD COLUMN IF NOT EXISTS ")
            # MODIFY has the same result each time.
            modifies = re.match(r"ALTER TABLE \w+\s+MODIFY (QUERY|COLUMN|SETTING)", statement)
            replaces = first.startswith("CREATE OR REPLACE ")
            # This table is created again each time and then exchanged with the live one.
            beside = first.endswith("_by_device SYNC") or first == "CREATE TABLE l4_power_agg_hourly_by_device"
            exchanges = first.startswith("EXCHANGE TABLES l4_power_agg_hourly_by_device AND ")
            ends = re.match(r"(DROP|RENAME) \w+ IF EXISTS ", first)
            # Rows that are there already are left out; a day that is asked for twice is verified once.
            inserts = re.match(r"INSERT INTO (\w+)", first)
            fills = inserts and re.search(rf"WHERE .*(NOT IN|count\(\)).* FROM {inserts[1]}\b", statement)
            asks = inserts and inserts[1] == "proof_requests"
            is_repeatable = creates or adds or modifies or replaces or beside or exchanges or ends or fills or asks
            assert is_repeatable, f"{migration.name}: {first}"


def test_no_file_drops_what_it_has_renamed() -> None:
    # Run again as a whole after an interruption, it would drop the renamed one.
    for migration in read_migrations(Settings().sql_dir):
        text = "\n".join(migration.statements())
        dropped = set(re.findall(r"DROP \w+ IF EXISTS (\w+)", text))
        assert dropped.isdisjoint(re.findall(r"RENAME \w+ IF EXISTS \w+ TO (\w+)", text)), migration.name


@pytest.mark.parametrize(
    ("first_line", "field", "value"),
    [
        ("-- needs the setting enable_x", "needs", "enable_x"),
        ("-- together with 001_a.sql", "together_with", "001_a.sql"),
        ("-- recorded with the next file", "is_recorded_with_next", True),
        ("-- replaces tables of any size", "is_of_any_size", True),
    ],
)
def test_the_first_line_may_be_a_rule(first_line: str, field: str, value: object) -> None:
    assert getattr(Migration("900_b.sql", f"{first_line}\nSELECT 1"), field) == value
    assert not getattr(Migration("900_b.sql", f"SELECT 1\n{first_line}"), field)


def test_guards_are_no_statements() -> None:
    migration = Migration(
        "900_b.sql", "SELECT 1;\n-- why\nSELECT throwIf(count() > 0, 'Wait.')\nFROM\n(\n    SELECT 2\n);\n"
    )
    assert migration.statements() == ["SELECT 1"]
    assert migration.guards() == [Guard("Wait.", "SELECT * FROM (\n    SELECT 2\n)")]


@pytest.mark.parametrize("target", ["001_b.sql", "900_own.sql", "901_other.sql"])
def test_a_file_belongs_to_one_that_is_applied_by_itself(tmp_path: Path, target: str) -> None:
    (tmp_path / "001_a.sql").write_text("SELECT 1")
    (tmp_path / "901_other.sql").write_text("-- together with 001_a.sql\nSELECT 1")
    assert len(read_migrations(tmp_path)) == 2
    (tmp_path / "900_own.sql").write_text(f"-- together with {target}\nSELECT 1")
    with pytest.raises(MigrationError, match=f"900_own.sql begins with `-- together with {target}`, but"):
        read_migrations(tmp_path)


def test_a_directory_without_migrations_is_named(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="No migrations"):
        read_migrations(tmp_path)
