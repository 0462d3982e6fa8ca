"""A filter of system calls that a job puts on itself before it runs a program: what no drawing needs is refused.

Namespaces keep a program from what is outside. The filter keeps it from starting processes and threads, so that one
address space is all that it can fill, from sending signals to its server, and from calls of the kernel that drawing
never makes. It cannot be taken off again. Source: man 2 seccomp; numbers of calls from the kernel's tables.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and the bit of O_TMPFILE, the same on both machines."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _DUMPABLE, _SUBREAPER = 38, 22, 2, 4, 36

# fmt: off
_PROCESSES = {  # fork, vfork, clone
    "x86_64": (57, 58, 56),
    "aarch64": (220,),
}
_NOT_THERE = (435, 437)
"""clone3 and openat2, whose arguments a filter cannot see: said not to exist, and libraries take the older calls."""
_EXECUTE = {"x86_64": (59, 322), "aarch64": (221, 281)}
_SIGNALS = {"x86_64": (62, 200, 234), "aarch64": (129, 130, 131)}
"""kill, tkill, tgkill: to itself only."""
_KERNEL = {
    # ptrace, process_vm_readv, process_vm_writev, kcmp, process_madvise; rt_sigqueueinfo, rt_tgsigqueueinfo,
    # pidfd_open, pidfd_getfd, pidfd_send_signal; socket, socketpair; unshare, setns, mount, umount2, pivot_root,
    # chroot, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr; memfd_create, memfd_secret,
    # shmget, shmat, shmctl, msgget, semget, mq_open; add_key, request_key, keyctl; bpf, perf_event_open, userfaultfd,
    # io_uring (3), personality, name_to_handle_at, open_by_handle_at, fanotify_init
    "x86_64": (
        101, 310, 311, 312, 440, 129, 297, 434, 438, 424, 41, 53, 272, 308, 165, 166, 155, 161, 428, 429, 430, 431, 432,
        433, 442, 319, 447, 29, 30, 31, 68, 64, 240, 248, 249, 250, 321, 298, 323, 425, 426, 427, 135, 303, 304, 300,
    ),
    "aarch64": (
        117, 270, 271, 272, 440, 138, 240, 434, 438, 424, 198, 199, 97, 268, 40, 39, 41, 51, 428, 429, 430, 431, 432,
        433, 442, 279, 447, 194, 196, 195, 186, 190, 180, 217, 218, 219, 280, 241, 282, 425, 426, 427, 92, 264, 265,
        262,
    ),
}
_FILES = {
    # creat; truncate, ftruncate, fallocate; rename, renameat, renameat2; mkdir, mkdirat, rmdir; link, linkat, symlink,
    # symlinkat, unlink, unlinkat; mknod, mknodat; chmod, fchmod, fchmodat, fchmodat2; setxattr (3)
    "x86_64": (
        85, 76, 77, 285, 82, 264, 316, 83, 258, 84, 86, 265, 88, 266, 87, 263, 133, 259, 90, 91, 268, 452, 188, 189,
        190,
    ),
    "aarch64": (45, 46, 47, 38, 276, 34, 37, 36, 35, 33, 52, 53, 452, 5, 6, 7),
}
_OPEN = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""open and openat, and which of their arguments has the flags."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# fmt: on


def machine() -> str:
    """Return this machine's architecture.

    Raises:
        OSError: If no filter is known for it.
    """
    name = os.uname().machine
    if name not in _ARCHITECTURES or sys.byteorder != "little":
        raise OSError(f"no filter of system calls is known for {name}; {' and '.join(_ARCHITECTURES)} have one")
    return name


def program(architecture: str, process: int, *, writes: bool) -> bytes:
    """Return a filter as instructions of the kernel's BPF.

    Args:
        architecture: `x86_64` or `aarch64`.
        process: Number of the process, to which alone it may send signals.
        writes: Whether files may be written and programs executed.
    """
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, _ARCHITECTURES[architecture], 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
    ]
    if architecture == "x86_64":  # calls of the x32 kind have the same numbers and one bit more
        lines += [_line(_AT_LEAST, 0x40000000, 0, 1), _line(_RETURN, _KILL)]
    refused = [*_PROCESSES[architecture], *_KERNEL[architecture]]
    if not writes:
        refused += [*_EXECUTE[architecture], *_FILES[architecture]]
    for number in refused:
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _REFUSE | _EPERM)]
    for number in _NOT_THERE:
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _REFUSE | _ENOSYS)]
    for number in _SIGNALS[architecture]:
        lines += _argument(number, 0, _line(_EQUAL, process, 1, 0))
    if not writes:
        for number, flags in _OPEN[architecture]:
            lines += _argument(number, flags, _line(_ANY_BIT, _WRITING, 0, 1))
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _argument(number: int, argument: int, test: bytes) -> list[bytes]:
    """Refuse a call where the test of the lower half of its argument does not jump over the refusal."""
    return [
        _line(_EQUAL, number, 0, 4),
        _line(_LOAD, _ARGUMENTS + 8 * argument),
        test,
        _line(_RETURN, _REFUSE | _EPERM),
        _line(_RETURN, _ALLOW),
    ]


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def apply(*, writes: bool) -> None:
    """Filter the system calls of this process from here on.

    Args:
        writes: Whether it may write files and execute programs.

    Raises:
        OSError: If the kernel refuses.
    """
    content = program(machine(), os.getpid(), writes=writes)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    made = _Program(len(content) // 8, content)
    _prctl(_SECCOMP, _FILTER, ctypes.addressof(made))


def protect_server() -> None:
    """Keep this process's memory from others of the same user, and become the parent of what its jobs leave behind."""
    _prctl(_DUMPABLE, 0)
    _prctl(_SUBREAPER, 1)


def _prctl(option: int, second: int, third: int = 0) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(word) for word in (second, third, 0, 0)]
    if library.prctl(ctypes.c_int(option), *words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
