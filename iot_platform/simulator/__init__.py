"""Simulated meters: devices, load profiles, faults, and their ingestion."""
