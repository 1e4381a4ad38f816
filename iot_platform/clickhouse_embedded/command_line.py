"""Parse a server's command-line arguments, and format them for a child process."""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from iot_platform.clickhouse_embedded.options import ServerOptions

MODULE = "iot_platform.clickhouse_embedded"
PASSWORD_VARIABLE = "CLICKHOUSE_EMBEDDED_PASSWORD"

_MAX_PORT = 65535


def read_arguments(arguments: Sequence[str] | None, environment: MutableMapping[str, str]) -> ServerOptions:
    """The options in the arguments (None: those of this process) and the environment; exits when they are wrong.

    The password is removed from the environment, so that child processes do not inherit it.
    """
    parser = _parser()
    found = parser.parse_args(arguments)
    password = environment.pop(PASSWORD_VARIABLE, None)
    if password == "":
        parser.error(f"{PASSWORD_VARIABLE} is empty. Unset it to use a generated password.")
    try:
        (password or "").encode()
    except UnicodeEncodeError:
        parser.error(f"{PASSWORD_VARIABLE} is not UTF-8 text.")
    return ServerOptions(
        directory=found.directory.expanduser().resolve(),
        host=found.host,
        port=found.port,
        any_port_if_taken=found.any_port_if_taken,
        memory_bytes=found.memory_bytes,
        trusted_hosts=tuple(map(str.lower, found.trusted_host)),
        password=password,
        stop_when_unused=found.stop_when_unused,
    )


def as_arguments(options: ServerOptions) -> list[str]:
    """The arguments for a child process; the password is not among them."""
    arguments = [f"--host={options.host}", f"--port={options.port}", f"--memory-bytes={options.memory_bytes}"]
    arguments += [f"--trusted-host={name}" for name in options.trusted_hosts]
    if options.any_port_if_taken:
        arguments.append("--any-port-if-taken")
    if options.stop_when_unused:
        arguments.append("--stop-when-unused")
    return [*arguments, "--", str(options.directory)]


def _parser() -> argparse.ArgumentParser:
    default = ServerOptions(Path())
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description="Serve a directory over ClickHouse's HTTP interface until SIGTERM or Ctrl-C.",
        epilog=f"The user is `default`. The password is in the environment variable {PASSWORD_VARIABLE}, or else in "
        "the file `password` in the directory, which the first start creates. Exit codes: 1 cannot start, 2 wrong "
        "arguments, 3 another server uses the directory.",
    )
    parser.add_argument("directory", type=_directory, help="directory of the data, the password and the locks")
    parser.add_argument(
        "--host", type=_not_empty, default=default.host, help="address to bind to (default: %(default)s)"
    )
    parser.add_argument("--port", type=_port, default=default.port, help="port; 0: any free one (default: %(default)s)")
    parser.add_argument("--any-port-if-taken", action="store_true", help="use any free port if the port is taken")
    parser.add_argument(
        "--memory-bytes",
        type=_memory_bytes,
        default=default.memory_bytes,
        help="memory limit of all queries together (default: %(default)s)",
    )
    parser.add_argument(
        "--trusted-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that clients may use in the Host header, e.g. of a reverse proxy; may be repeated",
    )
    parser.add_argument(
        "--stop-when-unused",
        action="store_true",
        help="stop when no process holds a shared lock (flock) on the file users.lock in the directory",
    )
    return parser


def _not_empty(text: str) -> str:
    # An empty host would be every address, an empty directory the working directory: both from an unset variable.
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def _directory(text: str) -> Path:
    return Path(_not_empty(text))


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {_MAX_PORT}")
    return int(text)


def _memory_bytes(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError("the memory is a positive number of bytes")
    return int(text)
