"""A child that stops at any machine instruction of ours: ptrace, through ctypes.

One run records where in `_native` its operation passes, instruction by instruction. Every other run goes at full speed
to one place of that record, by a breakpoint on its address and the number of times that it has to be passed, and stops
before that instruction. x86-64 only: a breakpoint, and the step over it, are the processor's own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn

from lightwork import _native

TRACEME, CONT, SINGLESTEP, SETOPTIONS, GETREGS, SETREGS = 0, 7, 9, 0x4200, 12, 13
EXITKILL = 0x100000
RIP = 16
"""Which word of `struct user_regs_struct` is the instruction pointer."""
REGISTERS = 27
BREAKPOINT = b"\xcc"

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, data: object = None) -> None:
    """Raises OSError."""
    if _ptrace(request, pid, None, data) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")


def unable() -> str | None:
    """Why this machine cannot do it, if it cannot."""
    if platform.machine() != "x86_64":
        return f"it knows the registers of x86_64, not of {platform.machine()}"
    try:
        Victim(lambda: None, lambda: None).kill()
    except OSError as e:
        return f"a process may not trace its own child here ({e})"
    return None


def our_code() -> range:
    """Where the code of `_native` lies, here and in all forked children."""
    path = os.path.realpath(_native.__file__)
    with open("/proc/self/maps") as maps:
        for line in maps:
            where, rights, *_, name = line.split(maxsplit=5)
            if name.strip() == path and "x" in rights:
                start, end = where.split("-")
                return range(int(start, 16), int(end, 16))
    raise RuntimeError(f"{path} is not mapped")


class Victim:
    """A forked child that gets itself ready and stops; what it then does is traced. Raises OSError if it cannot be."""

    def __init__(self, ready: Callable[[], object], act: Callable[[], object]) -> None:
        self.pid = os.fork()
        if not self.pid:
            _live(ready, act)
        self._status = 0
        self._wait()
        if not os.WIFSTOPPED(self._status):
            raise OSError(f"the child ended with status {self._status} before it was ready")
        ptrace(SETOPTIONS, self.pid, EXITKILL)

    def trace(self, code: range, limit: int | None = None) -> list[int]:
        """Run step by step, to the end or to where the next instruction would be number `limit` within `code`; returns
        the addresses of those before it."""
        passed: list[int] = []
        last = 0
        while os.WIFSTOPPED(self._status):
            address = self._registers()[RIP]
            if address in code:
                if len(passed) == limit:
                    return passed
                passed.append(address)
            elif address == last:  # one instruction that copies many bytes is a step for each
                self._run_on(self._after_string(address))
                continue
            self._go_on(SINGLESTEP)
            last = address
        if os.waitstatus_to_exitcode(self._status):
            raise RuntimeError("the operation failed in the child; its traceback is above")
        return passed

    def run_to(self, address: int, times: int) -> bool:
        """Stop before this instruction is executed the `times`th time; False if it never is: the child has ended."""
        for n in range(times):
            if not self._run_on(address):
                return False
            if n + 1 < times:
                self._go_on(SINGLESTEP)
        return True

    def _run_on(self, address: int) -> bool:
        """Run to a breakpoint before this instruction; False if the child ended before."""
        memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
        try:
            instruction = os.pread(memory, 1, address)
            os.pwrite(memory, BREAKPOINT, address)
            self._go_on(CONT)
            if not os.WIFSTOPPED(self._status):
                return False
            registers = self._registers()
            if registers[RIP] != address + 1:
                raise RuntimeError(f"stopped by signal {os.WSTOPSIG(self._status)}, not by the breakpoint")
            os.pwrite(memory, instruction, address)
        finally:
            os.close(memory)
        registers[RIP] = address
        ptrace(SETREGS, self.pid, registers)
        return True

    def _after_string(self, address: int) -> int:
        """What follows a repeated string instruction: its prefix, perhaps one for the width, and its code."""
        with open(f"/proc/{self.pid}/mem", "rb", 0) as memory:
            memory.seek(address)
            prefix, width, *_ = memory.read(3)
        if prefix not in (0xF2, 0xF3):
            raise RuntimeError(f"the process does not get on at {address:#x}")
        return address + (3 if width & 0xF0 == 0x40 else 2)

    def kill(self) -> None:
        """No further instruction of it is executed. (It may have ended.)"""
        if os.WIFSTOPPED(self._status):
            os.kill(self.pid, signal.SIGKILL)
            self._wait()

    def _go_on(self, request: int) -> None:
        ptrace(request, self.pid)
        self._wait()

    def _wait(self) -> None:
        _, self._status = os.waitpid(self.pid, 0)

    def _registers(self) -> ctypes.Array[ctypes.c_ulonglong]:
        registers = (ctypes.c_ulonglong * REGISTERS)()
        ptrace(GETREGS, self.pid, registers)
        return registers


def _live(ready: Callable[[], object], act: Callable[[], object]) -> NoReturn:
    try:
        gc.disable()  # what one run does, all do
        ready()
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        act()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
