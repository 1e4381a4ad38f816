"""docs/cli.md, made from the commands' own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from iot_platform.cli import cli

HEAD = """# Command line

<!-- Made by `make docs` from the commands in iot_platform/cli/. Change the help texts there, not this file. -->

`iot-platform COMMAND --help` shows the same texts. Commands that offer `--json` print one line of JSON for scripts.
An expected error is one message on standard error, and exit code 1.

"""


def cli_page() -> str:
    """The page as Markdown."""
    context = click.Context(cli, info_name="iot-platform")
    return HEAD + "".join(_commands(cli, context)).rstrip() + "\n"


def _commands(group: click.Group, parent: click.Context) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        level = "##" if parent.parent is None else "###"
        yield f"{level} `{context.command_path}`\n\n{_paragraphs(command)}\n\n"
        if isinstance(command, click.Group):
            yield from _commands(command, context)
        else:
            yield f"```text\n{_usage(command, context)}\n```\n\n"
            if rows := [*_options(command, context)]:
                yield "| Option | Meaning |\n| --- | --- |\n" + "".join(rows) + "\n"


def _paragraphs(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


def _usage(command: click.Command, context: click.Context) -> str:
    return f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is None or "--help" in option.opts:
            continue
        names, text = (part.replace("|", "\\|") for part in record)
        yield f"| `{names}` | {text} |\n"
