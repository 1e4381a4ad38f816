"""What the documents name exists: paths, modules, make targets, commands with their options, settings."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from iot_platform.cli import cli
from iot_platform.definitions import defs
from iot_platform.defs.layers.rules import RULES
from iot_platform.settings import Settings
from iot_platform_tests.docs.markdown import Found, read
from iot_platform_tests.docs.pages import ROOT, documents, tracked_files

# Past names stay in the history.
CURRENT = [path for path in documents() if path.name != "CHANGELOG.md"]

_FOLDERS = "iot_platform|iot_platform_tests|sql|docs|looker|deploy|\\.github|\\.ci"
_PATH = re.compile(rf"(?<![\w./-])(?:{_FOLDERS})/[\w./*-]*")
# An example of a name, or a file that somebody is told to make.
_PLACEHOLDER = re.compile(r"\*|NNN|NAME")
_MODULE = re.compile(r"-m (iot_platform[\w.]*)|^(iot_platform(?:_tests)?(?:\.\w+)+)$")
_TARGET = re.compile(r"\bmake ([a-z][\w-]*)")
_VARIABLE = re.compile(r"\bIOT_[A-Z][A-Z_0-9]*\b(?!\.\.)")
# Variables of the tests and of the workplace, not of the platform.
_OTHER_VARIABLES = {"IOT_FUZZ_ROWS", "IOT_FUZZ_SEED", "IOT_SCREENSHOTS"}


def _code(path: Path) -> Iterator[Found]:
    document = read(path)
    yield from document.spans
    for block in document.blocks:
        for number, line in enumerate(block.text.splitlines(), start=1):
            yield Found(line, block.line + number)


def _wrong(path: Path, names: Iterator[tuple[Found, str]]) -> list[str]:
    return [f"{path.name}, line {found.line}: {name}" for found, name in names]


@pytest.fixture(params=CURRENT, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    """Each document but the history."""
    path: Path = request.param
    return path


def test_paths_exist(document: Path) -> None:
    files = tracked_files()
    folders = {str(parent) for file in files for parent in Path(file).parents}

    def missing() -> Iterator[tuple[Found, str]]:
        for found in _code(document):
            for path in _PATH.findall(found.text):
                if not _PLACEHOLDER.search(path) and path.rstrip("/.") not in files | folders:
                    yield found, path

    assert _wrong(document, missing()) == []


def test_modules_exist(document: Path) -> None:
    def missing() -> Iterator[tuple[Found, str]]:
        for found in _code(document):
            for names in _MODULE.findall(found.text):
                name = "".join(names)
                if importlib.util.find_spec(name) is None:
                    yield found, name

    assert _wrong(document, missing()) == []


def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))

    def missing() -> Iterator[tuple[Found, str]]:
        for found in _code(document):
            for name in _TARGET.findall(found.text):
                if name not in targets:
                    yield found, f"make {name}"

    assert _wrong(document, missing()) == []


def test_settings_exist(document: Path) -> None:
    known = {f"IOT_{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES

    def unknown() -> Iterator[tuple[Found, str]]:
        for found in _code(document):
            for name in _VARIABLE.findall(found.text):
                is_known = name.removesuffix("_FILE") in known or _is_check(name) or f"{name}*" in found.text
                if not is_known:
                    yield found, name

    assert _wrong(document, unknown()) == []


def _is_check(name: str) -> bool:
    _, _, rest = name.partition("IOT_CHECKS__")
    check, _, _ = rest.partition("__")
    return check.lower() in {rule.name for rule in RULES}


def test_commands_and_options_exist(document: Path) -> None:
    def unknown() -> Iterator[tuple[Found, str]]:
        for found in _code(document):
            for command in re.findall(r"(?:^|[|&;] *|= *)iot-platform( [^|;#]*|$)", found.text):
                if problem := _problem(command):
                    yield found, problem

    assert _wrong(document, unknown()) == []


def _problem(text: str) -> str:
    """What is wrong with a command line; empty: nothing."""
    command: click.Command = cli
    context = click.Context(cli, info_name="iot-platform")
    for word in shlex.split(text):
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word.isupper():
                return ""
            found = command.get_command(context, word)
            if found is None:
                return f"there is no command {word}"
            command, context = found, click.Context(found, info_name=word, parent=context)
        elif word.startswith("--"):
            options = {
                name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)
            }
            if word.partition("=")[0] not in options:
                return f"{context.command_path} has no option {word}"
    return ""


def test_the_guide_names_every_check_schedule_and_sensor() -> None:
    guide = {found.text for found in read(ROOT / "docs/operators-guide.md").spans}
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    names = {each.name for each in (*(defs.schedules or ()), *(defs.sensors or ()))}
    assert (checks | names) - guide == set(), "Add these to the tables of docs/operators-guide.md."


def test_every_code_block_has_a_language() -> None:
    without = [f"{path.name}:{block.line}" for path in documents() for block in read(path).blocks if not block.language]
    assert without == []
