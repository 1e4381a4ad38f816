"""Tests of the embedded server. They use the platform only for the fixture ``server`` and its settings."""
