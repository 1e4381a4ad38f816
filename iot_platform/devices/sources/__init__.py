"""Sources of device metadata: a CSV, or a CRM. To add one, write a class like these and list it in configured.py."""
