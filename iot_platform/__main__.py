"""``python -m iot_platform``: the same as the ``iot-platform`` command."""

from iot_platform.cli import main

if __name__ == "__main__":
    main()
