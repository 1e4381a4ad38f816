"""Protect data and secrets: escaping, secrets, private files, trusted hosts, and the environment of child processes."""
