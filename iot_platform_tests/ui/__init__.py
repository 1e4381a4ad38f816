"""The Dagster UI in a real browser, on a running platform."""
