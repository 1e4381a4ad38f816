"""Alerts: what is wrong, as Dagster's storage tells it, and the sensor that tells of it."""
