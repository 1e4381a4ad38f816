"""What protects data and secrets: escaping, secret files, private files, trusted hosts, environments of children."""
