"""The search for current problems: failed runs, failed checks, stale assets, failed schedules and sensors."""
