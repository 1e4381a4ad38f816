"""The chDB engine behind the HTTP interface of ClickHouse, for machines without a server."""
