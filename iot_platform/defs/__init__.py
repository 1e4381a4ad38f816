"""Dagster objects by topic."""
