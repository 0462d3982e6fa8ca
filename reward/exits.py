"""How a command ends: whatever happens becomes an exit status and one line on stderr, never a traceback.

A traceback is saved to a file whose path the line names. The statuses stand in `reward.errors`.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from reward.cache import cache_dir
from reward.errors import (
    EXIT_BUG,
    EXIT_ENVIRONMENT,
    LONGEST,
    LONGEST_VALUE,
    EnvironmentFault,
    EX2Error,
    UserError,
    causes,
    one_line,
    shortened,
)
from reward.plain_text import written_out
from reward.secrets import redacted
from reward.signals import CUT_SHORT, STATUS, Terminated, interrupted_by, interrupted_by_sigterm, is_one_of_several

OUT_OF_ORDER = {
    errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNREFUSED,
    errno.ECONNRESET, errno.ECONNABORTED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRINUSE,
    errno.EADDRNOTAVAIL, errno.ENOLCK, errno.EACCES, errno.EPERM,
}  # fmt: skip
"""Errors of the system that are the machine's, whichever library meets them."""

OF_SETTINGS = (
    (
        "/transformers/integrations/integration_utils.py",
        99,
        "training.report_to: a logger fails",
        "set it up or leave it",
    ),
    (
        "/peft/tuners/",
        1,
        "lora: the adapter does not fit the model",
        "see lora.target_modules and lora.r",
    ),
    (
        "/bitsandbytes/",
        3,
        "policy.quantization: this model cannot be computed in it on this machine",
        "set policy.quantization=none",
    ),
    ("/jinja2/", 6, "the model's chat template fails", "set prompts.style=plain, or give another policy.model"),
    ("/transformers/utils/chat_template_utils.py", 6, "the model's chat template fails", "set prompts.style=plain"),
)
"""Part of a library's path, among how many of the innermost frames it must be, what it then means that an exception
comes from there, and what to do. These libraries meet what a recipe, or the files that it names, hold."""

_foreign: set[str] = set()
"""Modules that a recipe named by a dotted path."""


def is_main_process() -> bool:
    """Say whether this is the only process, or the first of those that were launched together."""
    return os.environ.get("RANK", "0") == "0"


@functools.cache
def tell_once(line: str) -> None:
    """Print a line on stderr, once for each line and by the main process only."""
    if is_main_process():
        print(line, file=sys.stderr, flush=True)


def announce_import(module: str) -> None:
    """Say that a module of the user's own is about to be imported, and remember that its errors are the user's."""
    _foreign.add(module)
    tell_once(f"note: imports {shortened(module, LONGEST_VALUE)} (your code)")


def guarded(run: Callable[[], int], command: Callable[[], str] = str) -> int:
    """Run a command and turn every way in which it can fail into an exit status and a message on stderr.

    Args:
        run: The command; it returns its exit status.
        command: Gives what has to be typed for the same again, or an empty text; for the message about a signal.

    Returns:
        The exit status, see `reward.errors`.
    """

    def last_words(number: int) -> None:
        _ended_by(number, CUT_SHORT, command)

    if hasattr(sys.stdout, "reconfigure"):  # a terminal's encoding may lack a letter; that must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")
    with interrupted_by_sigterm(last_words):
        try:
            os.getcwd()
        except OSError:
            return _failed(UserError("the current folder no longer exists; change to another and repeat the command."))
        try:
            return _flushed(run())
        except KeyboardInterrupt as told:
            return _ended_by(signal.SIGTERM if isinstance(told, Terminated) else signal.SIGINT, str(told), command)
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - it is told and saved
            number = interrupted_by()
            if number and (not isinstance(error, EX2Error) or _is_from_a_signal(error)):
                return _ended_by(number, "", command)
            if isinstance(error, EX2Error):
                return _failed(error)
            if isinstance(error, BrokenPipeError) and _nobody_reads():
                return _flushed(EXIT_ENVIRONMENT)
            return _failed(_explained(error) or _unforeseen(error))


def _is_from_a_signal(error: BaseException) -> bool:
    """Say whether an exception was raised because of a signal's, as where an import that it ended is called missing."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def _ended_by(number: int, work: str, command: Callable[[], str]) -> int:
    """Say that a signal ended the command, and how it goes on; return the exit status.

    Args:
        number: The signal.
        work: What is said of the work under way, such as `after batch 3, which is kept`; may be empty.
        command: Gives the command to go on, or an empty text.
    """
    what = " ".join(["ended by SIGTERM" if number == signal.SIGTERM else "interrupted", *([work] if work else [])])
    again = redacted(command())
    how = f"the same command continues: {again}" if again else "the same command continues."
    return _said(f"{what}; {how}", STATUS[signal.Signals(number)], before="\n" if number == signal.SIGINT else "")


def _flushed(status: int) -> int:
    """Write out what stdout still holds; return the status, or that of the environment if it takes nothing more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # else the interpreter tries again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # as `ex2 … | head` does it: nothing to complain about
            return EXIT_ENVIRONMENT
        return _failed(EnvironmentFault(f"the standard output cannot be written: {error.strerror}."))


def _nobody_reads() -> bool:
    """Say whether stdout is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def _explained(error: BaseException) -> EX2Error | None:
    """Return what stands behind a library's exception: the environment, or a setting that the library meets."""
    from reward.files import environment_fault

    kind, text = type(error).__name__, shortened(one_line(error), 600)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return EnvironmentFault(f"out of memory ({text}); use smaller batches, such as rl.micro_batch_size=1.")
    if kind == "OutOfMemoryError":  # torch's, which need not be imported
        return EnvironmentFault(f"out of GPU memory; use smaller batches, such as rl.micro_batch_size=1. ({text})")
    if kind.startswith("Dist") or "Connection closed by peer" in text:
        return EnvironmentFault(
            f"another process of this run ended or cannot be reached; its message says why. ({text})"
        )
    files = [frame.f_code.co_filename.replace(os.sep, "/") for frame, _ in traceback.walk_tb(error.__traceback__)]
    for part, depth, meaning, remedy in OF_SETTINGS:
        if any(part in file for file in files[-depth:]):
            return UserError(f"{meaning} ({text}); {remedy}.")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UserError(f"{shortened(str(error.filename), LONGEST_VALUE)}: a name of this length is not possible.")
    if isinstance(error, RuntimeError) and "home directory" in text:
        return UserError("a path begins with ~, and there is no such home folder; write the path out.")
    if isinstance(error, RuntimeError) and text.startswith("Symlink loop from "):  # pathlib's own words
        return UserError(f"{text.removeprefix('Symlink loop from ')} is a link that leads in a circle; give another.")
    if isinstance(error, OSError):
        known = environment_fault(error) if error.errno not in (None, errno.ENOTDIR) else None
        if known is not None:
            return known
        if isinstance(error, (ConnectionError, TimeoutError)) or error.errno in OUT_OF_ORDER:
            return EnvironmentFault(f"{error.filename or 'the system'}: {error.strerror or text}; mend it and repeat.")
    return None


def _unforeseen(error: BaseException) -> EX2Error:
    """Save the traceback of an exception that nobody foresaw, and return the line about it."""
    what = f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
    what = shortened(what, 600)
    saved = _save("traceback", "".join(traceback.format_exception(error)))  # without the values of variables
    place = _place_in_foreign_code(error)
    if place:
        return UserError(f"{place} (your code): {what}. Traceback: {saved}")
    return _Bug(f"{what}. This is a fault of EX2, not of what you gave. Traceback: {saved}")


class _Bug(EX2Error):
    """A fault of EX2's own."""

    exit_code = EXIT_BUG


def _place_in_foreign_code(error: BaseException) -> str:
    """Return the last line of the user's own modules, unless EX2 was called again from there; else an empty text."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module in _foreign or any(module.startswith(f"{name}.") for name in _foreign):
            place = f"{frame.f_code.co_filename}: line {line}"
        elif module.partition(".")[0] in ("reward", "ex2", "analysis"):
            place = ""
    return place


def _save(kind: str, words: str) -> str:
    """Write a text that is too long for the terminal to a file, and return the file's path."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-"
    for folder in (_folder_of_tracebacks, lambda: Path(tempfile.gettempdir())):
        try:
            place = folder()
            place.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(".txt", f"ex2-{kind}-{name}", place)
            with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(redacted(words))
        except (OSError, RuntimeError):  # a full disk; no home folder
            continue
        return path
    return "it could not be saved anywhere"


def _folder_of_tracebacks() -> Path:
    return cache_dir() / "tracebacks"


def _failed(error: EX2Error) -> int:
    return _said(str(error), error.exit_code)


def _said(message: str, status: int, *, before: str = "") -> int:
    """Print a message on stderr, by one of the processes that were launched together; return the status."""
    if _first_to_speak():
        text = _cut("\n".join(f"ex2: {line}" for line in written_out(redacted(message)).split("\n")))
        with contextlib.suppress(OSError, ValueError):  # stderr is closed
            print(before + text, file=sys.stderr, flush=True)
    return status


def _cut(text: str) -> str:
    """Return a message of at most `LONGEST` characters; of a longer one, the first and last lines and where it is."""
    if len(text) <= LONGEST:
        return text
    where = _save("message", text)
    lines = [shortened(line, LONGEST // 3) for line in text.split("\n")]
    room = LONGEST - len(where) - 60
    first: list[str] = []
    last: list[str] = []
    while lines and sum(map(len, first)) + len(first) + len(lines[0]) < room * 2 // 3:
        first.append(lines.pop(0))
    while lines and sum(map(len, last)) + len(last) + len(lines[-1]) < room // 3:
        last.insert(0, lines.pop())
    rest = f"ex2: … {len(lines)} more. " if lines else "ex2: "
    return "\n".join([*first, f"{rest}The whole message: {where}", *last])


def _first_to_speak() -> bool:
    """Say whether no other process of the same launch has told why it ended. Alone, a process always speaks."""
    if not is_one_of_several():
        return True
    import psutil

    try:
        parent = psutil.Process(os.getppid())
        launch = f"ex2-{parent.pid}-{int(parent.create_time())}-{os.environ.get('MASTER_PORT', '')}.told"
        os.close(os.open(Path(tempfile.gettempdir()) / launch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except (OSError, psutil.Error):
        return is_main_process()
    return True


def end_family(pid: int, seconds: float = 22.0) -> None:
    """End a launcher and its descendants in order, and kill those that are still there after some seconds.

    The launcher alone is told: it tells the others, which took a second signal as a demand to end at once.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        root.terminate()
    left = psutil.wait_procs(family, timeout=seconds)[1]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=2.0)
