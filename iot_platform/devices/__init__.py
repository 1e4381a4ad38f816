"""Device metadata: its contract and its versions."""
