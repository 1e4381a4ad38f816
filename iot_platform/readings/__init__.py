"""Readings: their schema, reading them from files and streams, and writing them into L1 exactly once."""
