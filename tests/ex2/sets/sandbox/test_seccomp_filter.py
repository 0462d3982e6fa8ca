"""The filter's instructions, run by an interpreter of this file's own, for both machines that have one."""

from __future__ import annotations

import struct

import pytest

from ex2.sets.sandbox.inside import seccomp

ALLOWED, PERMISSION, ABSENT, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86, ARM = ("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)
OWN = 41

# numbers of system calls, from the kernel's tables
NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "mmap": 9, "fork": 57, "clone": 56, "execve": 59, "kill": 62, "socket": 41,
        "ptrace": 101, "unshare": 272, "openat": 257, "tgkill": 234, "clone3": 435, "openat2": 437, "unlinkat": 263,
        "memfd_create": 319, "bpf": 321, "io_uring_setup": 425, "exit_group": 231, "mkdirat": 258, "mount": 165,
    },
    "aarch64": {
        "read": 63, "write": 64, "mmap": 222, "clone": 220, "execve": 221, "kill": 129, "socket": 198, "ptrace": 117,
        "unshare": 97, "openat": 56, "tgkill": 131, "clone3": 435, "openat2": 437, "unlinkat": 35,
        "memfd_create": 279, "bpf": 280, "io_uring_setup": 425, "exit_group": 94, "mkdirat": 34, "mount": 40,
    },
}  # fmt: skip


def decided(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """What the kernel would decide: struct seccomp_data is nr, arch, instruction pointer, six arguments."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    lines = [struct.unpack("<HBBI", program[start : start + 8]) for start in range(0, len(program), 8)]
    assert len(lines) < 4096
    place, value = 0, 0
    while True:
        code, if_true, if_false, given = lines[place]
        place += 1
        if code == 0x20:
            (value,) = struct.unpack("<I", data[given : given + 4])
        elif code == 0x06:
            return int(given)
        else:
            holds = {0x15: value == given, 0x35: value >= given, 0x45: bool(value & given)}[code]
            place += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "number"), [X86, ARM], ids=["x86_64", "aarch64"])
def test_what_is_allowed_and_refused(machine: str, number: int) -> None:
    calls = NUMBERS[machine]
    only_draws = seccomp.program(machine, OWN, writes=False)
    writes = seccomp.program(machine, OWN, writes=True)

    def said(program: bytes, name: str, *arguments: int) -> int:
        return decided(program, calls[name], number, *arguments)

    for program in (only_draws, writes):
        for name in ("read", "write", "mmap", "exit_group"):
            assert said(program, name) == ALLOWED, name
        for name in ("clone", "socket", "ptrace", "unshare", "memfd_create", "bpf", "io_uring_setup", "mount"):
            assert said(program, name) == PERMISSION, name
        for name in ("clone3", "openat2"):
            assert said(program, name) == ABSENT, name
        for name in ("kill", "tgkill"):
            assert said(program, name, OWN) == ALLOWED, "itself"
            for other in (OWN - 1, 1, 0, 2**32 - 1, 2**64 - 1):
                assert said(program, name, other, 9) == PERMISSION, "others, groups and all"
    for name in ("execve", "unlinkat", "mkdirat"):
        assert said(only_draws, name) == PERMISSION
        assert said(writes, name) == ALLOWED
    for flags, verdict in ((0, ALLOWED), (0o2000000, ALLOWED), (1, PERMISSION), (2, PERMISSION), (0o100, PERMISSION)):
        assert said(only_draws, "openat", 0, 0, flags) == verdict
        assert said(writes, "openat", 0, 0, flags) == ALLOWED
    assert decided(only_draws, calls["read"], 0x40000003) == KILLED, "another machine's numbers"


def test_calls_of_the_x32_kind_are_fatal() -> None:
    program = seccomp.program("x86_64", OWN, writes=True)
    assert decided(program, 0x40000000, X86[1]) == KILLED
    assert decided(program, 0x3FFFFFFF, X86[1]) == ALLOWED


def test_an_unknown_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uname:
        machine = "riscv64"

    monkeypatch.setattr("os.uname", Uname)
    with pytest.raises(OSError, match="no filter of system calls is known for riscv64; x86_64 and aarch64 have one"):
        seccomp.machine()
