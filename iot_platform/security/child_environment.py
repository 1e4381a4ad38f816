"""The environment of the Python processes that the platform starts: they import nothing from the current folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def python_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy for a child process. PYTHONSAFEPATH keeps the current folder off ``sys.path``, also for its own children.

    PYTHONPATH keeps its absolute entries only: an empty one, as in ``export PYTHONPATH=$PYTHONPATH:/lib``, means the
    current folder, too.
    """
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    safe = [path for path in paths if Path(path).is_absolute()]
    changed = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    changed["PYTHONSAFEPATH"] = "1"
    if safe:
        changed["PYTHONPATH"] = os.pathsep.join(safe)
    return changed
