"""Where device metadata comes from: a CSV, or a CRM. Another one is a class like these and a line in configured.py."""
