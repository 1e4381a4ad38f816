"""Sources of device metadata: a CSV, or a CRM. CONTRIBUTING.md says how to add one."""
