"""The `iot-platform` command."""
