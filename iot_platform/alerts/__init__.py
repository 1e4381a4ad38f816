"""Alerts: from what is wrong now to messages that go out once, and one more when it is over. Knows no Dagster."""
