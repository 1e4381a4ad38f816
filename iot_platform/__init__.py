"""An open data platform for IoT power usage: Dagster assets on ClickHouse."""
