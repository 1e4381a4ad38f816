"""``iot-platform sql``: run one SQL statement."""

from __future__ import annotations

import click
from clickhouse_connect.driver.exceptions import Error

from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

# Statements with a result set; clickhouse-connect sends everything else as a command.
_QUERIES = ("SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "(")


@click.command()
@click.argument("statement")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one line of JSON: a list of objects.")
@click.option("--limit", default=1000, show_default=True, help="Maximum number of rows in the table; 0: all.")
def sql(statement: str, as_json: bool, limit: int) -> None:
    """Run one SQL STATEMENT in the platform's database and print its result as a table."""
    with migrated_session(Settings()) as client:
        try:
            if not statement.lstrip().upper().startswith(_QUERIES):
                done = client.command(statement)
                if as_json:
                    echo_json(str(done))
                else:
                    say(str(done))
                return
            result = client.query(statement)
        except Error as error:
            # ClickHouse ends a syntax error with a long list of the words that it would accept.
            raise PlatformError(str(error).split(" Expected one of:")[0]) from error
    if as_json:
        echo_json([dict(zip(result.column_names, row, strict=True)) for row in result.result_rows])
        return
    shown = result.result_rows[:limit] if limit else result.result_rows
    show_table(result.column_names, shown, text=str)
    if len(shown) < len(result.result_rows):
        say(f"{len(shown):,} of {len(result.result_rows):,} rows shown; see --limit.")
