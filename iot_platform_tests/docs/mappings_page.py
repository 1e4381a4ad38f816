"""docs/mappings.md, made from the ready mappings and from the options of ``load readings``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import click

from iot_platform.cli.load import readings
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.option_values import key_of
from iot_platform.readings.mapping_files import NOT_IN_FILES, allowed_values, ready_mappings

HEAD = """# Mapping files

<!-- Made by `make docs` from iot_platform/readings/mappings/ and the options of `load readings`; the texts are in
iot_platform_tests/docs/mappings_page.py. -->

A mapping file says once what the files of a supplier mean: their columns, unit, time zone, stamp. `load readings`,
`ingest` and the
[inbox](operators-guide.md#inbox) use it:

<!-- not run: the files are yours -->
```sh
iot-platform load readings --mapping enedis curve.csv          # a ready mapping
iot-platform load readings --mapping ./supplier.toml *.csv     # your own
iot-platform load readings --mapping enedis --timezone UTC --explain curve.csv
```

- **Options of the command line override the mapping**, and the command says so.
- `--explain` shows the value of each option for each file, and where it is known from: given, the mapping, the
  header, the content of the file, or
  assumed. Like `--dry-run` it loads nothing.
- A file that was loaded with the same options without a mapping file is [the same
  load](load-data.md#take-a-load-back): it is not loaded again.
- The check of what a file contains is the same as without a mapping. A mapping that does not fit a file is refused,
  with the option that decides.

## Ready mappings

`iot-platform mappings list` lists them, and `iot-platform mappings show enedis` prints one, with an example of the
files.

| Name | Files |
| --- | --- |
"""

WRITE = """
## Write a mapping file

A mapping file is [TOML](https://toml.io). Start from a ready one that is similar, and leave out what the files say
themselves:

```toml
description = "Load curves of our grid operator: mean power in W, stamped at the end of the quarter hour."
timestamp_column = "Zeitstempel"
device_column = "Zählpunkt"
value_column = "Leistung"
unit = "W"
stamp = "end"
interval = "15min"
timezone = "Europe/Vienna"
decimal = "comma"
```

Names of columns are compared without regard to case. `iot-platform mappings check FILE` checks the file: an unknown
key, or a value that is not
allowed, is refused with the keys and values that are. `example` may hold a few lines of such a file, for people.

`ingest` refuses what a stream cannot have: `register`, and power or ends of intervals without `interval`.

| Key | Values | Meaning (default) |
| --- | --- | --- |
| `description`, `example` | a text | for people |
"""


def mappings_page() -> str:
    """The page as Markdown."""
    ready = "".join(f"| `{mapping.name}` | {mapping.description} |\n" for mapping in ready_mappings())
    return HEAD + ready + WRITE + "".join(_keys())


def _keys() -> Iterator[str]:
    options = {option.name: option for option in readings.params if isinstance(option, click.Option)}
    for field in fields(FileOptions):
        if field.name in NOT_IN_FILES:
            continue
        option = options[field.name]
        values = allowed_values(field.name)
        if isinstance(option.type, click.Choice):
            values = ", ".join(f'"{choice}"' for choice in option.type.choices)
        if field.name == "interval_s":
            values = 'such as "30min"'
        yield f"| `{key_of(field.name)}` | {values} | {option.help} |\n".replace("|NAME", "\\|NAME")
