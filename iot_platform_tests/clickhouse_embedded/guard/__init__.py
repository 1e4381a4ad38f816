"""Attacks on the embedded server, and canaries that tell whether one succeeded."""
