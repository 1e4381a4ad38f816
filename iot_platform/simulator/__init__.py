"""Simulated meters: devices, load profiles, faults, and the ingestion of their readings."""
