"""Device metadata: the asset and the schedule that refreshes it."""
