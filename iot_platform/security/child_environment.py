"""The environment of child processes: Python must not import modules from the current directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def python_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy of an environment for a Python child process and the processes that it starts.

    PYTHONSAFEPATH keeps the current directory off ``sys.path``. PYTHONPATH keeps only its absolute entries, because an
    empty entry, as in ``export PYTHONPATH=$PYTHONPATH:/lib``, also means the current directory.
    """
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    safe = [path for path in paths if Path(path).is_absolute()]
    changed = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    changed["PYTHONSAFEPATH"] = "1"
    if safe:
        changed["PYTHONPATH"] = os.pathsep.join(safe)
    return changed
