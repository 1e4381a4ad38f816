"""Readings coming in: the asset of L1, and the sensor that ingests simulated readings every minute."""
