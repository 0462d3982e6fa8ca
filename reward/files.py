"""Writing and reading files: they are replaced whole or not at all, and a log's torn last line is dropped."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError

from reward.errors import EnvironmentFault, EX2Error, UserError, causes
from reward.records import JSON as JSON
from reward.records import problems
from reward.sealed import seal
from reward.strict_json import JSONFault, decode, encodable, line_of
from reward.temporaries import new_name

T = TypeVar("T")

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same command again",
    errno.EROFS: "the file system is read-only: choose another output_dir",
    errno.EACCES: "permission denied: choose another output_dir or change the permissions",
    errno.ENOTDIR: "a part of the path is a file: choose another output_dir",
    errno.EEXIST: "a part of the path is a file, or a link that leads nowhere: choose another output_dir",
    errno.ELOOP: "a part of the path is a link that leads in a circle: choose another output_dir",
}


AGAIN = "delete it and run its stage again"
"""What to do about a faulty file of a run."""

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
    for cause in causes(error):
        number = getattr(cause, "errno", None)
        worded = [code for code in _REASONS if os.strerror(code) in str(cause)]
        code = number if number in _REASONS else worded[0] if worded else None
        if code is not None:
            return EnvironmentFault(f"{where}: cannot be written: {_REASONS[code]}. Earlier results are untouched.")
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
            What killed processes left in it, `reward.temporaries` removes.
        sync: Whether to wait until the content has reached the disk before `path` is replaced. Without waiting, a power
            cut can leave a file with holes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_name(path)
    try:  # from before the file is there: a signal between its making and here would leave it
        mode = _make(temporary)
        yield temporary
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)  # safetensors replaces the file by one that only its owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make(path: Path) -> int:
    """Make an empty file; return its permissions, which are those that the user's umask leaves."""
    with path.open("xb") as file:
        return stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def usual_permissions(folder: Path) -> None:
    """Give a folder and all in it the permissions that the user's umask leaves; libraries write more private files."""
    probe = new_name(folder / "mode")
    try:
        mode = _make(probe)
    finally:
        probe.unlink(missing_ok=True)
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
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return what `write_json` writes."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: If the file is missing or is no JSON that a stage writes.
        EnvironmentFault: If the system refuses to read it.
    """
    return _decoded(path, _content(path))


def read_record(path: Path, parse: Callable[[JSON], T], *, remedy: str = AGAIN) -> T:
    """Read a JSON file as a record.

    Args:
        path: The file.
        parse: Makes a record of the file's content, as `Record.from_json` does. It raises `KeyError` for a missing
            key.
        remedy: What to do about a faulty file, for messages.

    Raises:
        UserError: If the file is missing, is no JSON that a stage writes, or `parse` refuses its content.
        EnvironmentFault: If the system refuses to read it.
    """
    content = _content(path)
    value = _decoded(path, content, remedy)
    try:
        return parse(value)
    except ValidationError as error:
        line = line_of(content, error.errors(include_url=False)[0]["loc"])
        told = "; ".join(problems(error))
        raise UserError(f"{path}: line {line}: {told}; {remedy}.") from error
    except KeyError as error:
        raise UserError(f"{path}: line 1: {error} is missing; {remedy}.") from error
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: line 1: not of the form that its stage writes; {remedy}.") from error


def read_object(path: Path) -> JSON:
    """Read a JSON file that holds an object of any keys. Raises what `read_record` raises."""
    return read_record(path, _object)


def _object(content: Any) -> JSON:
    if not isinstance(content, dict):
        raise TypeError("no object")
    return content


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise UserError(f"{path}: is no file; move it away and run its stage again.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run the stage that writes it first (ex2 run RECIPE does all).") from error
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read: {error.strerror}.") from error


def _decoded(path: Path, content: bytes, remedy: str = AGAIN) -> Any:
    try:
        return decode(content)
    except JSONFault as error:
        raise UserError(f"{path}: line {error.line}: {error.reason}; {remedy}.") from error


def append_jsonl(path: Path, rows: Iterable[JSON]) -> None:
    """Append rows to a log, after removing a torn last line. They are on the disk when this returns."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        with path.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(_line(row))
            file.flush()
            os.fsync(file.fileno())


def write_jsonl(path: Path, rows: Iterable[JSON]) -> None:
    """Replace a log's content by `rows`, atomically."""
    write_text(path, "".join(map(_line, rows)))


def _line(row: JSON) -> str:
    """Return a row as it is written; a judge may have said what is no text, which would otherwise lose its answers."""
    return encodable(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n"


def read_jsonl(
    path: Path, *, finished: bool = False, remedy: str = "delete the file and run its stage again"
) -> list[JSON]:
    """Return a log's rows; a missing file has none.

    Args:
        path: The log.
        finished: Whether nothing will be appended to the log any more: then a torn last line is an error. Else it is
            dropped, as the next row that is appended will replace it.
        remedy: What to do about a faulty line, for messages.

    Raises:
        UserError: If a line is no JSON object that a stage writes.
        EnvironmentFault: If the system refuses to read it.
    """
    if not path.exists():
        return []
    lines = _content(path).split(b"\n")
    torn = lines.pop()
    rows: list[JSON] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = decode(line)
        except JSONFault as error:
            raise UserError(f"{path}: line {number}: {error.reason}; {remedy}.") from error
        if not isinstance(row, dict):
            raise UserError(_no_object(path, number, line, remedy))
        rows.append(row)
    if torn and not torn.startswith(b"{"):  # a torn row begins as rows do
        raise UserError(_no_object(path, len(lines) + 1, torn, remedy))
    if torn and finished:
        raise UserError(f"{path}: line {len(lines) + 1}: cut off; {remedy}.")
    return rows


def _no_object(path: Path, number: int, line: bytes, remedy: str) -> str:
    shown = repr(line[:40].decode(errors="replace")) + ("…" if len(line) > 40 else "")
    return f"{path}: line {number}: it holds {shown}: an object is allowed; {remedy}."


def read_rows(
    path: Path,
    parse: Callable[[JSON], T],
    *,
    what: str,
    remedy: str,
    key: Callable[[T], Hashable | None] | None = None,
    finished: bool = False,
) -> list[T]:
    """Return a log's rows as records; a missing file has none.

    Args:
        path: The log.
        parse: Makes a record of a row, as `Record.from_json` does. A `ValueError` tells what is wrong with the row.
        what: What a row is, for messages, such as `verdict`.
        remedy: What to do about a faulty row, for messages.
        key: What two rows must not have in common; None, also as its result, if they may.
        finished: As of `read_jsonl`.

    Raises:
        UserError: If a line is no such row, or two lines have the same key.
        EnvironmentFault: If the system refuses to read it.
    """
    rows: list[T] = []
    line_with: dict[Hashable, int] = {}
    for number, stored in enumerate(read_jsonl(path, finished=finished, remedy=remedy), start=1):
        try:
            row = parse(stored)
        except ValidationError as error:
            told = f"no {what} ({'; '.join(problems(error))})"
            raise UserError(f"{path}: line {number}: {told}; {remedy}.") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number}: {error}; {remedy}.") from error
        identity = None if key is None else key(row)
        if identity is not None and line_with.setdefault(identity, number) != number:
            raise UserError(
                f"{path}: line {number}: the same {what} as on line {line_with[identity]}, as after two processes "
                "wrote at once; delete one of the two lines, or move the file away and run its stage again."
            )
        rows.append(row)
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
        content = file.read()
        start = content.rfind(b"\n") + 1
        if content[start : start + 1] != b"{":
            raise UserError(_no_object(path, content.count(b"\n") + 1, content[start:], "move the file away"))
        file.truncate(start)


@contextlib.contextmanager
def bank_file(path: Path) -> Iterator[Path]:
    """Yield a file that replaces `path`, like `replacing`, but without waiting for the disk.

    It is for the cache of image banks: a bank that is lost can be computed again. What is written is safetensors with
    `UNSEALED` among its metadata; it is sealed, so that damage is seen when it is read.

    Raises:
        EnvironmentFault: If the folder cannot be written.
    """
    try:
        with replacing(path, sync=False) as temporary:
            yield temporary
            seal(temporary)
    except (OSError, SafetensorError) as error:
        raise EnvironmentFault(
            f"{path}: the image bank cannot be written ({error}); free some space or set EX2_CACHE to another folder."
        ) from error
