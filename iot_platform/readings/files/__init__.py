"""Readings from files: CSV and Parquet, plain or compressed, in constant memory."""
