"""``make docs``: write the generated pages of docs/, then build the site."""

from __future__ import annotations

import sys

from iot_platform_tests.docs.pages import GENERATED
from iot_platform_tests.docs.site import build


def write_pages() -> None:
    """Write every generated page whose text has changed, and say which."""
    for path, page in GENERATED.items():
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"Wrote docs/{path.name}.\n")
    sys.stdout.flush()


if __name__ == "__main__":
    write_pages()
    sys.exit(build())
