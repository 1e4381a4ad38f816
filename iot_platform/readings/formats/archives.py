"""Zip archives: each member becomes a file of its own, in a private directory, before anything is loaded.

A member is called ``archive.zip/folder/member.csv`` in messages. On disk it has a number and a harmless name: no name
in an archive decides about a path. What is unpacked is bounded; an archive in an archive is refused when it is opened.
"""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from iot_platform.errors import PlatformError, SourceError
from iot_platform.readings.files.content import CHUNK_BYTES
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.formats.recognition import EMPTY_ZIP, ZIP, NotReadingsError, kind_of_zip

MOST_MEMBERS = 20_000
MOST_BYTES = 64 << 30
# A file of zeros has 1000; readings rarely have more than 50.
HIGHEST_RATIO = 300
# Small members may have any ratio.
SMALL_BYTES = 64 << 20
# What systems add to archives; nobody sent it.
_NO_FILES = re.compile(r"(?:^|/)(?:__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\._)")
_ODD = re.compile(r"[^\w.()+ -]")
LONGEST_NAME = 120


def expanded(
    files: Iterable[Path], directory: Path, failed: dict[str, str], *, several: bool = True
) -> Iterator[tuple[Path, list[InputFile]]]:
    """Each path and its files; those in archives are unpacked below a directory, and removed when the next path comes.

    Errors are added to ``failed``, by path. ``several``: whether an archive may have several files.
    """
    for number, path in enumerate(files):
        folder = directory / str(number)
        try:
            found = expand(path, folder)
            if len(found) > 1 and not several:
                raise SourceError(f"{path}: the archive has {len(found):,} files. --rejects works only with one file.")
        except PlatformError as error:
            failed[str(path)] = str(error)
        else:
            yield path, found
        shutil.rmtree(folder, ignore_errors=True)


def expand(path: Path, directory: Path) -> list[InputFile]:
    """The files of a path: itself, or the members of an archive, unpacked below ``directory``, in their order.

    Raises SourceError when an archive is damaged, has a password, or is too large.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP)) in (ZIP, EMPTY_ZIP)
            if not is_zip or kind_of_zip(file).format != "zip":
                return [InputFile.of(path)]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
    except NotReadingsError as error:
        raise SourceError(f"{path}: {error}") from error
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack(archive, path, directory)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise SourceError(f"{path}: cannot be unpacked: {error}.") from error


def _unpack(archive: zipfile.ZipFile, path: Path, directory: Path) -> list[InputFile]:
    members = [member for member in archive.infolist() if not member.is_dir() and not _NO_FILES.search(member.filename)]
    if not members:
        raise SourceError(f"{path}: the archive has no files.")
    if len(members) > MOST_MEMBERS:
        raise SourceError(f"{path}: the archive has more than {MOST_MEMBERS:,} files. Unpack it yourself.")
    files = []
    left = MOST_BYTES
    for number, member in enumerate(members, start=1):
        if member.flag_bits & 1:
            raise SourceError(f"{path}: {member.filename!r} has a password. Unpack the archive yourself.")
        folder = directory / f"{number:05}"
        folder.mkdir(parents=True)
        target = folder / _harmless(member.filename)
        left -= _unpack_member(archive, member, target, path, left)
        files.append(InputFile(target, path / _shown(member.filename), f"{path.name}/{_shown(member.filename)}"))
    return files


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, path: Path, left: int) -> int:
    """Write a member to a file; returns its size. What its entry says about its size is not trusted."""
    size = 0
    most = min(left, max(SMALL_BYTES, member.compress_size * HIGHEST_RATIO))
    with archive.open(member) as source, target.open("xb") as file:
        while piece := source.read(CHUNK_BYTES):
            size += len(piece)
            if size > most:
                raise SourceError(
                    f"{path}: {member.filename!r} unpacks to far more than it has in the archive (over "
                    f"{most / 1e6:,.0f} MB), as files do that are made to fill a disk. Unpack the archive yourself."
                )
            file.write(piece)
    return size


def _shown(name: str) -> str:
    """The name of a member for messages: it stays below that of its archive."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    return "/".join(parts) or "unnamed"


def _harmless(name: str) -> str:
    return _ODD.sub("_", _shown(name).rpartition("/")[2])[-LONGEST_NAME:].strip(" .") or "unnamed"
