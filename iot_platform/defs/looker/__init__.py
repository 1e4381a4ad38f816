"""Looker's view, explore and dashboard over the marts as assets, with checks of the LookML."""
