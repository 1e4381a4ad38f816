"""The platform as running services: Dagster's processes, their configuration, their health."""
