"""Tests of the access to ClickHouse: the embedded server of a home, migrations, the schema."""
