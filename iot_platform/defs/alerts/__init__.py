"""Alerts: the problems in Dagster's storage, and the sensor that sends messages about them."""
