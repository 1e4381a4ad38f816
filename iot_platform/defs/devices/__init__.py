"""Device metadata: the asset, what refreshes it when, and its checks."""
