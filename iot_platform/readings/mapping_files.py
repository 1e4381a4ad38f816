"""Mapping files: what the columns, times and values of a supplier's files mean, in TOML.

Their keys are the fields of FileOptions, so each option of a file can be set in them.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.option_values import CHECKS, key_of, option_of

READY = Path(__file__).with_name("mappings")
SUFFIX = ".toml"
MOST_BYTES = 64 << 10
# What decides whether a line is loaded, rather than what it means, belongs to one load.
NOT_IN_FILES = {"accept_last_line"}
# The models of pydantic have attributes of their own, such as register.
_OWN = "_"
_DESCRIPTION, _EXAMPLE = "description", "example"


@dataclass(frozen=True)
class MappingFile:
    """A mapping file. ``options``: the fields of FileOptions that it sets. ``version``: a hash of its content."""

    name: str
    path: Path
    description: str
    example: str
    options: Mapping[str, Any]
    version: str


@dataclass(frozen=True)
class ResolvedOptions:
    """Options of files, where each one that is set comes from, and what the command line overrides, in words."""

    options: FileOptions
    origins: Mapping[str, str]
    overridden: tuple[str, ...] = ()


def ready_mappings() -> list[MappingFile]:
    """The mappings that the platform brings along, by name."""
    return [_read(path, path.stem) for path in sorted(READY.glob(f"*{SUFFIX}"))]


def find_mapping(text: str) -> MappingFile:
    """The mapping of a name (``enedis``), or of a path. Raises SourceError when there is none, or it is wrong.

    A text with a ``/``, or one that ends in ``.toml``, is a path.
    """
    if "/" in text or text.endswith(SUFFIX):
        return read_mapping(Path(text).expanduser())
    names = [path.stem for path in sorted(READY.glob(f"*{SUFFIX}"))]
    if text not in names:
        near = difflib.get_close_matches(text, names, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise SourceError(
            f"There is no mapping {text!r}.{meant} Known: {', '.join(names)}. Give a file by its path: ./{text}.toml."
        )
    return _read(READY / f"{text}{SUFFIX}", text)


def read_mapping(path: Path) -> MappingFile:
    """Read and check a mapping file. Raises SourceError, which names the file, the key, and what is allowed."""
    return _read(path, str(path))


def parse_mapping(content: bytes, name: str, path: Path | None = None) -> MappingFile:
    """The mapping in the content of a file. Raises SourceError like ``read_mapping``."""
    if len(content) > MOST_BYTES:
        raise SourceError(f"{name}: more than {MOST_BYTES >> 10} KB: not a mapping file.")
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{name}: not a mapping file: it is not TOML ({error}).") from error
    try:
        checked = _model().model_validate(found)
    except ValidationError as error:
        problems = " ".join(_problem(str(details["loc"][0]), details) for details in error.errors())
        raise SourceError(f"{name}: not a mapping file. {problems}") from error
    values = {name.removesuffix(_OWN): getattr(checked, name) for name in checked.model_fields_set}
    description, example = values.pop(_DESCRIPTION, ""), values.pop(_EXAMPLE, "")
    # In the order of FileOptions, whatever that of the file.
    options = {field: values[field] for field in _fields() if field in values}
    version = hashlib.sha256(content).hexdigest()
    return MappingFile(name, path or Path(name), description, example, options, version)


def resolve(given: Mapping[str, Any], mapping: MappingFile | None) -> ResolvedOptions:
    """The options of files: those ``given``, then those of the mapping."""
    if mapping is None:
        return ResolvedOptions(FileOptions(**given), dict.fromkeys(given, "given"))
    overridden = tuple(
        f"{option_of(field)} overrides {shown(field, mapping.options[field])} of mapping {mapping.name}."
        for field, value in given.items()
        if field in mapping.options and mapping.options[field] != value
    )
    origins = dict.fromkeys(mapping.options, f"mapping {mapping.name}") | dict.fromkeys(given, "given")
    return ResolvedOptions(FileOptions(**{**mapping.options, **given}), origins, overridden)


def shown(field: str, value: object) -> str:
    """A key and its value as a mapping file has them."""
    if isinstance(value, bool):
        return f"{key_of(field)} = {str(value).lower()}"
    return f"{key_of(field)} = {value} s" if field == "interval_s" else f"{key_of(field)} = {value!r}"


def allowed_values(field: str) -> str:
    """What a key may be set to, in words."""
    kind = _type_of(field)
    if get_args(kind):
        return ", ".join(f'"{value}"' for value in get_args(kind))
    return {bool: "true, false", int: "a whole number", str: "a text"}.get(kind, "a list")


def _read(path: Path, name: str) -> MappingFile:
    try:
        # Reading from a pipe or a device may never end.
        if path.exists() and not path.is_file():
            raise SourceError(f"{path}: not a mapping file: it is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: the mapping file cannot be read: {error.strerror}.") from error
    return parse_mapping(content, name, path)


def _fields() -> list[str]:
    return [field.name for field in fields(FileOptions) if field.name not in NOT_IN_FILES]


def _type_of(field: str) -> Any:
    """The type of a field in a mapping file, in which nothing is None."""
    if field in CHECKS:
        return str
    kind = get_type_hints(FileOptions)[field]
    others = [other for other in get_args(kind) if other is not type(None)]
    # The arguments of a Literal are its values, not types.
    is_optional = type(None) in get_args(kind)
    return others[0] if is_optional and len(others) == 1 else kind


@cache
def _model() -> type[BaseModel]:
    """The keys of a mapping file as a pydantic model, made from FileOptions."""
    found: dict[str, Any] = {_DESCRIPTION: (str, ""), _EXAMPLE: (str, "")}
    for field in _fields():
        kind = _type_of(field)
        if field in CHECKS:
            kind = Annotated[str, AfterValidator(CHECKS[field])]
        found[field + _OWN] = (kind, Field(default=None, alias=key_of(field)))
    return create_model("MappingKeys", __config__=ConfigDict(extra="forbid", strict=True), **found)


def _problem(key: str, details: Mapping[str, Any]) -> str:
    if details["type"] == "extra_forbidden":
        keys = [_DESCRIPTION, _EXAMPLE, *map(key_of, _fields())]
        near = difflib.get_close_matches(key, keys, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        return f"{key!r} is not a key.{meant} Keys: {', '.join(keys)}."
    message = str(details["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{key}: {message}."
