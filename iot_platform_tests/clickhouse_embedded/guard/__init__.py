"""Attacks on the embedded ClickHouse: what they look like, and canaries that tell whether one came through."""
