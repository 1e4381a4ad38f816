"""Ask a code server whether it serves the platform: ``python -m iot_platform.services.code_health SOCKET``.

The health check of docker-compose.yml. It asks for the list of repositories, which only a loaded code location can
answer. It imports no Dagster: `dagster api grpc-health-check` would spend two CPU-seconds every time.
"""

from __future__ import annotations

import sys

import grpc  # type: ignore[import-untyped]

METHOD = "/api.DagsterApi/ListRepositories"
# The class in the serialized answer. If the code cannot be imported, it is another one.
LOADED = b"ListRepositoriesResponse"
TIMEOUT_S = 8


def code_server_problem(target: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """What is wrong with the code server at a gRPC target (``unix:PATH`` or ``HOST:PORT``); None: nothing."""
    with grpc.insecure_channel(target) as channel:
        try:
            # An empty request is an empty message.
            answer: bytes = channel.unary_unary(METHOD)(b"", timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{target}: {error.code().name}"
    return None if LOADED in answer else f"{target}: the code location could not be loaded"


def main() -> None:
    """Exit with 0 if the code server at the unix socket given as argument is healthy, else with 1 and the reason."""
    sys.exit(code_server_problem(f"unix:{sys.argv[1]}"))


if __name__ == "__main__":
    main()
