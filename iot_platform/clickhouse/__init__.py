"""Access to ClickHouse: client, migrations, partitions, and the embedded server."""
