"""``iot-platform mappings``: list, show and check mapping files."""

from __future__ import annotations

from pathlib import Path

import click

from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.readings.files.option_values import key_of
from iot_platform.readings.mapping_files import MappingFile, find_mapping, read_mapping, ready_mappings, shown


@click.group()
def mappings() -> None:
    """List, show and check mapping files: what the columns of a supplier's files mean.

    `load readings` and `ingest` use one with --mapping. To write one, start from one that is similar: `show` prints it.
    """


@mappings.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the mappings as one line of JSON.")
def list_all(as_json: bool) -> None:
    """List the ready mappings."""
    found = ready_mappings()
    if as_json:
        echo_json([_as_json(mapping) for mapping in found])
    else:
        show_table(("name", "files"), [(mapping.name, mapping.description) for mapping in found], text=str)


@mappings.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a ready mapping, or a mapping file, as it is."""
    say(find_mapping(name).path.read_text(encoding="utf-8-sig").rstrip("\n"))


@mappings.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the mapping as one line of JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check a mapping file, and print what it sets. Exit code 1 if it is wrong.

    To see how it reads a file of readings, use `load readings --mapping FILE --explain`.
    """
    found = read_mapping(file)
    if as_json:
        echo_json(_as_json(found))
        return
    say(f"{file}: a mapping file. It sets:" if found.options else f"{file}: a mapping file that sets nothing.")
    for field, value in found.options.items():
        say(f"  {shown(field, value)}")


def _as_json(mapping: MappingFile) -> dict[str, object]:
    options = {key_of(field): value for field, value in mapping.options.items()}
    return {"name": mapping.name, "description": mapping.description, "options": options}
