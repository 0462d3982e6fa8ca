"""Fetches and unpacks official archives, only when the user asks for it.

An archive may have been tampered with. Therefore its checksum is compared where one is published, and no member may
leave the folder that it is unpacked into. What is unpacked appears under its final name only when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import lzma
import os
import posixpath
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PureWindowsPath
from typing import IO, Any, cast

from tqdm import tqdm

from reward.errors import EnvironmentFault, UserError, one_line, shortened
from reward.files import read_json, replacing, write_json, writing
from reward.images import open_regular
from reward.temporaries import scratch_folder

RECORD = "archives.json"
"""File beside the archives that holds each one's source, its checksums, and whether they match a published one."""

TIMEOUT = 60.0
"""Seconds without data after which a download is given up."""

_BLOCK = 1 << 20
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, NotImplementedError,
    ValueError, LookupError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What the readers raise for damaged archives; the last line is of numbers and names that make no sense."""

_BAD_NAMES = {
    errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EILSEQ, errno.ELOOP, errno.ENOENT
}  # fmt: skip
"""What the system says of members whose names are too long, or that need each other's place."""


@dataclass(frozen=True)
class Archive:
    """An official file of a dataset.

    Attributes:
        url: Address of the file.
        destination: Path below the dataset's root at which the content ends up: the archive's folder of that name, or
            the file itself if it is no archive.
        md5: Published checksum; None if none is published.
        bare: Whether the archive has no folder of its own, so that all its members go into `destination`.
    """

    url: str
    destination: str
    md5: str | None
    bare: bool = False

    @property
    def file_name(self) -> str:
        """Name of the downloaded file in the dataset's root."""
        return posixpath.basename(self.url)


def download(archives: Sequence[Archive], root: Path) -> list[str]:
    """Fetch and unpack what is not there yet. An archive that already lies in `root` is not fetched again.

    Args:
        archives: All archives of a dataset.
        root: The dataset's folder; made if absent.

    Returns:
        One line per archive, for the user: what was done, and whether its checksum was compared with a published one.

    Raises:
        UserError: If an archive is damaged, holds a forbidden path, or lacks what it should hold.
        EnvironmentFault: If the network, the server or the disk fails.
    """
    lines = []
    for archive in archives:
        target = root / archive.destination
        if target.exists():
            lines.append(f"{target}: already there")
            continue
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        path = root / archive.file_name
        if not path.exists():
            fetch(archive.url, path)
        sha256 = check(archive, path)
        if is_packed(path):
            unpack(path, target, bare=archive.bare)
        else:
            with writing(target):
                os.replace(path, target)
        verdict = "md5 as published" if archive.md5 else f"no published checksum: unverified, sha256 {sha256}"
        lines.append(f"{target}: from {archive.url} ({verdict})")
    return lines


def fetch(url: str, path: Path) -> None:
    """Download a file; it appears under its name only when complete.

    Raises:
        EnvironmentFault: If the server cannot be reached, refuses, or sends less than it announced.
    """
    with writing(path), replacing(path) as partial, partial.open("wb") as file:
        received, announced = _receive(url, file)
        if announced is not None and received != announced:
            raise EnvironmentFault(
                f"{url}: the download broke off after {received} of {announced} bytes; nothing was kept. Run the "
                "same command again."
            )


def _receive(url: str, file: IO[bytes]) -> tuple[int, int | None]:
    """Write what the server sends to `file`.

    Returns:
        Bytes received, and bytes announced by the server (None if it announced none).
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # nosec B310 # an address of a table of ours
            length = answer.headers.get("Content-Length")
            announced = int(length) if length and length.isdecimal() else None
            name = posixpath.basename(url)
            with tqdm(total=announced, desc=f"fetch {name}", unit="B", unit_scale=True, leave=False) as bar:
                while block := _read(answer, url):
                    file.write(block)  # the disk's refusals are the caller's
                    bar.update(len(block))
                return file.tell(), announced
    except (urllib.error.URLError, HTTPException, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFault(
            f"{url}: cannot be fetched ({reason}); nothing was kept. Check the network, or put the file into the "
            "dataset's folder yourself and run the same command again."
        ) from error


def _read(answer: Any, url: str) -> bytes:
    try:
        block: bytes = answer.read(_BLOCK)
    except ConnectionError as error:
        raise urllib.error.URLError(str(error)) from error
    return block


def check(archive: Archive, path: Path) -> str:
    """Compare a file with its published checksum, and record both in `archives.json` beside it.

    Returns:
        The file's SHA-256.

    Raises:
        UserError: If the file's checksum is not the published one.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
    if archive.md5 is not None and md5.hexdigest() != archive.md5:
        raise UserError(
            f"{path}: not the published file: md5 {md5.hexdigest()}, published {archive.md5}. Delete it and run the "
            "same command again; nothing was unpacked."
        )
    record = path.parent / RECORD
    known = read_json(record) if record.exists() else {}
    known[path.name] = {
        "url": archive.url,
        "sha256": sha256.hexdigest(),
        "md5": md5.hexdigest(),
        "verified": archive.md5 is not None,
    }
    write_json(record, known)
    return sha256.hexdigest()


def is_packed(path: Path) -> bool:
    """Return whether a file's name is that of a tar or zip archive; other files, such as `.mat`, are not unpacked."""
    return path.name.endswith((".tar", ".tar.gz", ".tgz", ".zip"))


def unpack(path: Path, target: Path, *, bare: bool = False) -> None:
    """Unpack an archive; `target` appears only when it is complete.

    Args:
        path: `.tar`, `.tar.gz`, `.tgz` or `.zip`.
        target: Folder to make; its name is that of the archive's folder whose content it gets.
        bare: Whether the archive has no such folder, so that `target` gets all its members.

    Raises:
        UserError: If the archive is damaged, a member would leave the folder or is a device, or the archive has
            no folder of the name of `target`.
        EnvironmentFault: If the disk refuses.
    """
    with writing(target), scratch_folder(target) as scratch:
        folder = scratch / "content"
        folder.mkdir()
        try:
            _extract_zip(path, folder) if path.suffix == ".zip" else _extract_tar(path, folder)
        except _DAMAGE as error:
            reason = shortened(one_line(error), 300)
            raise UserError(
                f"{path}: damaged ({reason}); nothing was unpacked. Delete it and run the same command again."
            ) from error
        except OSError as error:
            if error.errno not in _BAD_NAMES:
                raise
            raise UserError(
                f"{path}: has members that cannot be unpacked ({error.strerror}); nothing was unpacked. Do not trust "
                "this archive."
            ) from error
        inner = folder / target.name
        content = folder if bare and not inner.exists() else inner
        if not content.exists():
            found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5])
            raise UserError(f"{path}: holds no '{target.name}' (found: {found}); nothing was unpacked.")
        for link in _links_out(content):
            where = link.relative_to(folder)
            _refuse(path, str(where), f"links to '{os.readlink(link)}', outside {target.name}")
        os.replace(content, target)


def _links_out(content: Path) -> Iterator[Path]:
    """Yield links that lead out of a folder, or are it: within the archive they might, but it alone is moved."""
    inside = os.path.realpath(content)
    if content.is_symlink():
        yield content
    for place, folders, files in os.walk(content):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and os.path.commonpath([inside, os.path.realpath(path)]) != inside:
                yield path


def _extract_tar(path: Path, folder: Path) -> None:
    with _progress(path) as file, tarfile.open(fileobj=file) as archive:
        for member in archive:
            _refuse(path, member.name, _tar_problem(member))
            archive.extract(member, folder, filter="data")


def _extract_zip(path: Path, folder: Path) -> None:
    with _progress(path) as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise UserError(f"{path}: is encrypted; nothing was unpacked. Unpack it yourself, with its password.")
            kind = stat.S_IFMT(member.external_attr >> 16)
            special = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is neither file nor folder"
            _refuse(path, member.filename, path_problem(member.orig_filename) or special)
            archive.extract(member, folder)


def _refuse(path: Path, member: str, problem: str) -> None:
    if problem:
        raise UserError(f"{path}: member '{member}' {problem}; nothing was unpacked. Do not trust this archive.")


def _tar_problem(member: tarfile.TarInfo) -> str:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return "is a device, a pipe or of an unknown kind"
    if member.issym() or member.islnk():
        start = posixpath.dirname(member.name) if member.issym() else ""
        if path_problem(posixpath.normpath(posixpath.join(start, member.linkname))):
            return f"links to '{member.linkname}', outside the archive"
    return path_problem(member.name)


def path_problem(name: str) -> str:
    """Return why an archive's member must not be unpacked under its path, or an empty string if it may."""
    windows = PureWindowsPath(name)
    if name.startswith("/") or windows.drive or windows.root:
        return "has an absolute path"
    if ".." in windows.parts:  # also finds it between slashes
        return "leaves the folder"
    return ""


@contextlib.contextmanager
def _progress(path: Path) -> Iterator[IO[bytes]]:
    """Yield an archive opened for reading; a progress bar shows how many of its bytes have been read."""
    size = path.stat().st_size
    with (
        open_regular(path) as file,
        tqdm.wrapattr(file, "read", total=size, desc=f"unpack {path.name}", leave=False) as wrapped,
    ):
        yield cast("IO[bytes]", wrapped)
