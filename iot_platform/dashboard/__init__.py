"""The preview of the LookML dashboard: a web page that shows it on ClickHouse without Looker."""
