"""Pictures, previews and tables that illustrate a materialization or a check. They never make it fail."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from iot_platform.security.escaping import escape_lines
from iot_platform.security.secret_values import hide_secrets


@contextmanager
def decoration(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, what: str) -> Iterator[None]:
    """Run a block that only illustrates a result. An error in it is logged with its traceback, and the run goes on.

    ``what`` names the illustration in the log. The result itself does not belong in such a block.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - no error in an illustration may change the result
        shown = escape_lines(hide_secrets("".join(traceback.format_exception(error))))
        context.log.error(f"{what} could not be made and is left out. The result is not affected.\n{shown}")
