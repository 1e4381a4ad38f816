"""clickhouse-connect's own integration suite, run against the embedded server: ``make conformance``."""
