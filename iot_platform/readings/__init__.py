"""Readings: what one is, where they come from, how they get into L1."""
