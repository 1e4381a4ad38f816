"""``python -m iot_platform.clickhouse_embedded DIRECTORY``: serve a directory until stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from iot_platform.clickhouse_embedded.command_line import read_arguments
from iot_platform.clickhouse_embedded.errors import DirectoryInUseError, EmbeddedServerError
from iot_platform.clickhouse_embedded.serve import serve

_UMASK = 0o077  # other users get no rights on new files


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code."""
    options = read_arguments(arguments, os.environ)
    os.umask(_UMASK)
    try:
        serve(options, lambda url: _write(sys.stdout, f"ClickHouse answers at {url}"))
    except DirectoryInUseError as error:
        advice = f" Use that server, or stop it with: kill {error.record.pid}" if error.record else ""
        _write(sys.stderr, f"Error: {error}{advice}")
        return error.exit_code
    except OSError as error:
        # The directory cannot be used, or the disk is full.
        _write(sys.stderr, f"Error: {error.filename or options.directory}: {error.strerror or error}")
        return EmbeddedServerError.exit_code
    except EmbeddedServerError as error:
        _write(sys.stderr, f"Error: {error}")
        return error.exit_code
    return 0


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
