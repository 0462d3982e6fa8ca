"""Fetches Debian packages and reads files out of them, without root and without installing anything."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reward.errors import EnvironmentFault, UserError
from reward.files import writing
from reward.temporaries import scratch_folder


@dataclass(frozen=True)
class Package:
    """A `.deb` file.

    Attributes:
        name: The package's own name.
        version: The package's own version.
        path: The file.
        sha256: Hash of the file.
    """

    name: str
    version: str
    path: Path
    sha256: str

    def described(self) -> dict[str, str]:
        """Return name, version and hash, which identify the content, for a manifest."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise EnvironmentFault(f"{name}: not found; run this on Debian or Ubuntu, or in a container of one.")
    return found


def find_package(folder: Path, name: str) -> Package:
    """Return the newest `.deb` file of a package in a directory.

    Args:
        folder: Directory with `.deb` files.
        name: Package name.

    Raises:
        UserError: If there is no such file, or it is no Debian package.
        EnvironmentFault: If dpkg-deb is missing.
    """
    found = sorted(folder.glob(f"{name}_*.deb"), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        raise UserError(f"{folder}: no {name}_*.deb; add --download, or run there: apt-get download {name}")
    path = found[-1]
    command = [_program("dpkg-deb"), "--show", "--showformat=${Package}\\n${Version}", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise UserError(f"{path}: not a Debian package; delete it and run again with --download.")
    own_name, _, version = shown.stdout.partition("\n")
    with path.open("rb") as file:
        return Package(own_name, version.strip(), path, hashlib.file_digest(file, "sha256").hexdigest())


def read_files(package: Package, prefix: str, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of some regular files of a package, in the package's order.

    The content is streamed, so that nothing but the wanted files is held and no path of the archive
    reaches the file system.

    Args:
        package: The package to read.
        prefix: Path below the root, such as `usr/share/x/`; paths are yielded in full, without `./`.
        suffixes: Endings of the names of the wanted files.

    Raises:
        UserError: If the package is damaged.
        EnvironmentFault: If dpkg-deb is missing.
    """
    command = [_program("dpkg-deb"), "--fsys-tarfile", str(package.path)]
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages) as process:
            assert process.stdout is not None
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        path = member.name.removeprefix("./")
                        if member.isfile() and path.startswith(prefix) and path.endswith(suffixes):
                            file = archive.extractfile(member)
                            assert file is not None  # it is a regular file
                            yield path, file.read()
                process.stdout.read()  # tar's padding: dpkg-deb must not die of a closed pipe
                damage = ""
            except (
                tarfile.TarError,
                ValueError,
                EOFError,
                OverflowError,
            ) as error:  # whatever a header's bytes lead to
                damage = str(error) or type(error).__name__
            finally:
                process.stdout.close()
        messages.seek(0)
        damage = damage or (messages.read().decode("utf-8", "replace").strip() if process.returncode else "")
    if damage or process.returncode:
        raise UserError(f"{package.path}: damaged ({damage}); delete it and run again with --download.")


def download(folder: Path, names: Iterable[str]) -> list[str]:
    """Fetch the packages that are not there yet with `apt-get download`; root is not needed.

    Args:
        folder: Where the `.deb` files go; made if absent. A file appears there only when complete.
        names: Package names.

    Returns:
        The names that were fetched.

    Raises:
        EnvironmentFault: If apt-get is missing or fails, or the disk refuses.
    """
    missing = [name for name in names if not list(folder.glob(f"{name}_*.deb"))]
    if not missing:
        return []
    program = _program("apt-get")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder / "download") as scratch:
            os.chmod(scratch, 0o755)  # nosec B103 # as root, apt-get downloads as the user _apt
            done = subprocess.run(
                [program, "download", "-q", *missing], cwd=scratch, capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = next((line for line in done.stderr.splitlines() if line.startswith("E:")), "no message")
                raise EnvironmentFault(
                    f"apt-get download {' '.join(missing)}: {reason} Check the network and run apt-get update first, "
                    f"or put the .deb files into {folder}."
                )
            for path in sorted(scratch.glob("*.deb")):
                os.replace(path, folder / path.name)
    return missing
