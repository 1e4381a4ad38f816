"""Device metadata: the asset, the schedules and the sensor that refresh it, and its checks."""
