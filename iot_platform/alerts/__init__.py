"""Alerts: turn current problems into messages, one per incident, and send them. Independent of Dagster."""
