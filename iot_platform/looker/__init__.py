"""The LookML project in looker/: read strictly, compiled to ClickHouse SQL, and checked against the marts."""
