"""ClickHouse's HTTP interface over the chDB engine, in one process and without a ClickHouse server.

This package imports nothing else of iot_platform. README.md says how to run it by itself.
"""
