"""Which readings are plausible: limits of power and of time, and what a change of them invalidates."""
