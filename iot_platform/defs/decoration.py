"""Pictures, previews and tables beside a materialization or a check: welcome, but never a reason for it to fail."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from iot_platform.security.escaping import escape_lines
from iot_platform.security.secret_values import hide_secrets


@contextmanager
def decoration(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, what: str) -> Iterator[None]:
    """Do what only illustrates a result. An error in it is logged with its traceback, and the run goes on.

    ``what`` names it in the log. The values that are the result itself do not belong into such a block.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a picture, what was proved stays proved
        shown = escape_lines(hide_secrets("".join(traceback.format_exception(error))))
        context.log.error(f"{what} could not be made and is left out; the result itself stands.\n{shown}")
