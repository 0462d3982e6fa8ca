"""Writing and reading files: they are replaced whole or not at all, and a log's torn last line is dropped."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError

from reward.errors import EnvironmentFault, EX2Error, UserError
from reward.records import JSON as JSON
from reward.records import problems

T = TypeVar("T")

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same command again",
    errno.EROFS: "the file system is read-only: choose another output_dir",
    errno.EACCES: "permission denied: choose another output_dir or change the permissions",
    errno.ENOTDIR: "a part of the path is a file: choose another output_dir",
}


FULL_BELOW = 1 << 20
"""Bytes of free space below which a failed write is explained by a full disk."""


def environment_fault(error: BaseException, path: Path | None = None) -> EnvironmentFault | None:
    """Turn a file system's refusal to write into a one-line message that says what to do.

    Libraries wrap or reword the system's error. Therefore the error's causes are searched, for the error number and
    for the system's wording.

    Args:
        error: What a write raised.
        path: What was written; default: the file that the error names.

    Returns:
        The fault to raise; None for any other error.
    """
    where = path or getattr(error, "filename", None) or "a file"
    cause: BaseException | None = error
    while cause is not None:
        number = getattr(cause, "errno", None)
        worded = [code for code in _REASONS if os.strerror(code) in str(cause)]
        code = number if number in _REASONS else worded[0] if worded else None
        if code is not None:
            return EnvironmentFault(f"{where}: cannot be written: {_REASONS[code]}. Earlier results are untouched.")
        cause = cause.__cause__ or cause.__context__
    if path is not None and _free_bytes(path) < FULL_BELOW:  # torch's own writer does not say why it failed
        return EnvironmentFault(f"{where}: cannot be written: {_REASONS[errno.ENOSPC]}. Earlier results are untouched.")
    return None


def _free_bytes(path: Path) -> int:
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's refusals while writing `path` into an `EnvironmentFault`."""
    try:
        yield
    except EX2Error:
        raise
    except (OSError, RuntimeError, SafetensorError) as error:
        fault = environment_fault(error, path)
        if fault is None:
            raise
        raise fault from error


@contextlib.contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield an empty file beside `path`; it replaces `path` if the block ends without an error, else it is removed.

    Args:
        path: The file to replace, which is untouched until the block has ended. Its folder is made if it is missing.
        sync: Whether to wait until the content has reached the disk before `path` is replaced. Without waiting, a power
            cut can leave a file with holes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, mode = _new_file(path)
    try:
        yield temporary
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)  # safetensors replaces the file by one that only its owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> tuple[Path, int]:
    """Make an empty file beside `path`; return it and its permissions, which are those that the user's umask leaves."""
    while True:
        made = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}")
        try:
            handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            continue
        try:
            return made, stat.S_IMODE(os.fstat(handle).st_mode)
        finally:
            os.close(handle)


def usual_permissions(folder: Path) -> None:
    """Give a folder and all in it the permissions that the user's umask leaves; libraries write more private files."""
    probe, mode = _new_file(folder / "mode")
    probe.unlink()
    of_folders = mode | (mode & 0o444) >> 2
    for place, _, names in os.walk(folder):
        files = [os.path.join(place, name) for name in names]
        for path, wanted in [(place, of_folders), *((file, mode) for file in files if not os.path.islink(file))]:
            with contextlib.suppress(PermissionError):  # another's file, or a file system without permissions
                os.chmod(path, wanted)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield the path `NAME.unfinished`; the folder that the block makes there replaces `path` if no error is raised.

    A folder at `path` is untouched until the block has ended. If the process is killed, `NAME.unfinished` stays behind
    and the next attempt removes it.
    """
    folder = unfinished(path)
    try:
        yield folder
        finish(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def unfinished(path: Path) -> Path:
    """Return the path `NAME.unfinished` for making a folder, after removing what an earlier attempt left there."""
    folder = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return folder


def finish(folder: Path, path: Path) -> None:
    """Move a finished folder to `path`, in place of what is there, with the user's usual permissions."""
    usual_permissions(folder)
    shutil.rmtree(path, ignore_errors=True)
    folder.rename(path)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` by `text`; if that fails, the file is as it was.

    Raises:
        EnvironmentFault: If the disk is full or the directory is not writable.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` by bytes; if that fails, the file is as it was. Raises what `write_text` raises."""
    with writing(path), replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Replace the content of `path` by `value` as JSON, atomically. NaN is refused: unknown numbers are None."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run the stage that writes it first (ex2 run RECIPE does all).") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); delete it and run its stage again."
        ) from error


def read_record(path: Path, parse: Callable[[JSON], T]) -> T:
    """Read a JSON file as a record.

    Args:
        path: The file.
        parse: Makes a record of the file's content, as `Record.from_json` does. It raises `KeyError` for a missing
            key.

    Raises:
        UserError: If the file is missing, is not JSON, or `parse` refuses its content.
    """
    content = read_json(path)
    try:
        return parse(content)
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(problems(error))}; delete it and run its stage again.") from error
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing; delete it and run its stage again.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not of the form that its stage writes; delete it and run its stage again.") from error


def append_jsonl(path: Path, rows: Iterable[JSON]) -> None:
    """Append rows to a log, after removing a torn last line. They are on the disk when this returns."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        with path.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def write_jsonl(path: Path, rows: Iterable[JSON]) -> None:
    """Replace a log's content by `rows`, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[JSON]:
    """Return a log's rows; a torn last line is dropped, and a missing file has no rows.

    Raises:
        UserError: If a line other than the last is not JSON.
    """
    if not path.exists():
        return []
    rows: list[JSON] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn or empty
        try:
            rows.append(json.loads(line))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: line {number}: not JSON; delete the file and run its stage again.") from error
    return rows


def _drop_torn_line(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        content_end = file.seek(0, os.SEEK_END)
        file.seek(content_end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def bank_file(path: Path) -> Iterator[Path]:
    """Yield a file that replaces `path`, like `replacing`, but without waiting for the disk.

    It is for the cache of image banks: a bank that is lost can be computed again.

    Raises:
        EnvironmentFault: If the folder cannot be written.
    """
    try:
        with replacing(path, sync=False) as temporary:
            yield temporary
    except (OSError, SafetensorError) as error:
        raise EnvironmentFault(
            f"{path}: the image bank cannot be written ({error}); free some space or set EX2_CACHE to another folder."
        ) from error
