"""Alerts: the sensor that sends messages about the current problems."""
