"""Running a Python program within this process."""

from __future__ import annotations


def run(code: str) -> None:
    """Run a program as a script; `sys.exit` ends it, and what it has drawn until then counts.

    Raises:
        BaseException: Whatever the program raises.
    """
    names = {"__name__": "__main__"}
    try:
        exec(compile(code, "<drawing>", "exec", dont_inherit=True), names)  # nosec B102: what a sandbox is for
    except SystemExit:
        return
