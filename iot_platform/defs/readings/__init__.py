"""Ingestion: the asset of L1, and the sensor that ingests simulated readings every few minutes."""
