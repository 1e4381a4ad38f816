"""Access to ClickHouse: which server, connections, migrations, locks and the pause of writers."""
