"""Failed logins: they are logged, and answered after a delay that grows with each failure of the same address."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

log = logging.getLogger(__name__)

_DELAY_S = 0.1  # added for each failure
_MAX_DELAY_S = 2.0
_FORGET_S = 60.0  # after this time without a failure, the delay starts again
_LOG_EVERY_S = 10.0  # for each address, so that guessing does not fill the disk
_MAX_ADDRESSES = 1000
_SHOWN_LETTERS = 64


@dataclass
class _Failures:
    count: int = 0
    latest: float = 0.0
    logged: float = float("-inf")
    unlogged: int = 0


class FailedLogins:
    """Failures by address. The right password is never delayed, and no address is locked out."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def add(self, address: str, user: str) -> float:
        """Count and log a failed login of ``user`` from ``address``; returns the seconds to wait before responding."""
        now = time.monotonic()
        key = _network(address)
        failures = self._by_address.pop(key, None)
        if failures is None or now - failures.latest > _FORGET_S:
            failures = _Failures()
        self._by_address[key] = failures
        if len(self._by_address) > _MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        failures.count += 1
        failures.latest = now
        failures.unlogged += 1
        if now - failures.logged >= _LOG_EVERY_S:
            # %r: a line end in the name must not forge a line of the log.
            log.warning("failed logins from %s: %d, now as %r", address, failures.unlogged, user[:_SHOWN_LETTERS])
            failures.logged, failures.unlogged = now, 0
        return min(_DELAY_S * failures.count, _MAX_DELAY_S)


def _network(address: str) -> str:
    """The key of an address. An IPv6 client can choose its address from a network of 64 bits, which counts as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
