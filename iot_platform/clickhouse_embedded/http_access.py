"""Which requests may come from a browser: the rules for the Host and Origin headers.

The platform's own web servers have the same rules (security/http_access.py). This package imports nothing from the
platform, so it has its own copy; a test compares the two.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

# As browsers write it: a name, an IPv4 address or an IPv6 address in brackets, with or without a port.
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


def host_is_trusted(host_header: str, trusted: Collection[str] = ()) -> bool:
    """Whether the Host header is an IP address, localhost, the machine's own name or one of ``trusted``.

    This stops DNS rebinding: a web page whose domain name resolves to 127.0.0.1 reaches the port, but sends its own
    name in the Host header. ``trusted`` names are in lower case and have no port.
    """
    match = _HOST.fullmatch(host_header)
    if match is None:
        return False
    host = match["host"].strip("[]").lower()
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host == socket.gethostname().lower() or host in trusted
    return True


def origin_is_trusted(origin: str | None, host_header: str) -> bool:
    """Whether the request has no Origin header (no web page sent it), or comes from a page of this server.

    The scheme is not compared: behind a reverse proxy with TLS, the page is https and this server http.
    """
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host_header.lower() != ""
    except ValueError:  # "http://[abc"
        return False
