"""System calls of one process that are killed, refused, delayed or lied about, by strace(1); only those on given files."""

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["WRITING", "Call", "Traced", "may_trace", "traced"]

WRITING = ("pwrite64", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "fallocate", "openat")
"""Calls that change files, as the outbox makes them; `openat` makes and empties some."""
_CALL = re.compile(r"^(?P<name>\w+)\((?P<rest>.*)$")


class Call(NamedTuple):
    """One system call as strace wrote it down; `result` is the text after the equals sign."""

    thread: int
    name: str
    arguments: str
    result: str


class Traced(NamedTuple):
    """A process that has ended, and the calls it made on the files watched."""

    status: int
    calls: list[Call]
    stderr: str

    @property
    def killed(self) -> bool:
        """Whether it was killed at one of its calls."""
        return self.status in {-signal.SIGKILL, 128 + signal.SIGKILL}

    @property
    def injected(self) -> list[Call]:
        """The calls that were interfered with."""
        return [call for call in self.calls if "(INJECTED)" in call.result or "(DELAYED)" in call.result]


@cache
def may_trace() -> str:
    """Why there can be no tracing here; empty where there can."""
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    probe = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", "inject=sync:retval=0", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"strace may not trace here: {probe.stderr.strip()}" if probe.returncode else ""


def traced(
    program: Sequence[str], paths: Sequence[Path], log: Path, *, inject: Sequence[str] = (), calls: Sequence[str] = WRITING
) -> Traced:
    """Run a Python program with its calls on `paths` watched. `inject` is strace's own: `fdatasync:error=EIO:when=3`.

    A call that is counted (`when=3`) is counted for each thread and each name by itself.
    """
    command = tracer(paths, log, inject=inject, calls=calls)
    done = subprocess.run([*command, sys.executable, *program], capture_output=True, text=True, check=False, timeout=60)
    return Traced(done.returncode, list(_calls(log)), done.stderr)


def tracer(paths: Sequence[Path], log: Path, *, inject: Sequence[str] = (), calls: Sequence[str] = WRITING) -> list[str]:
    """The command before a command."""
    scope = [word for path in paths for word in ("-P", str(path))]
    faults = [word for fault in inject for word in ("-e", f"inject={fault}")]
    watched = ",".join(dict.fromkeys((*calls, *(fault.partition(":")[0] for fault in inject))))
    return ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), *scope, "-e", f"trace={watched}", *faults]


def count(calls: Sequence[Call]) -> Counter[str]:
    """How often each call was made."""
    return Counter(call.name for call in calls)


def _calls(log: Path) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in log.read_text("utf-8", "replace").splitlines():
        thread, _, said = line.partition(" ")
        said = said.strip()
        if said.endswith("<unfinished ...>"):
            # Another thread's call comes in between; the rest follows.
            begun[thread] = said.removesuffix("<unfinished ...>")
            continue
        if said.startswith("<... "):
            said = begun.pop(thread, "") + said.partition("resumed>")[2]
        found = _CALL.match(said)
        if found is not None:
            arguments, _, result = found["rest"].rpartition(" = ")
            yield Call(int(thread), found["name"], arguments, result)
