"""A process that runs to its end: how long it took, and what it needed."""
import ctypes
import os
import select
import subprocess
import time
from contextlib import contextmanager

PATIENCE = 60.0  # seconds for one run

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
libc = ctypes.CDLL(None, use_errno=True)


def run(argv, environment, log):
    """From before it is there to its end: wall and CPU seconds."""
    started = time.monotonic()
    to_log = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), to_log, (os.POSIX_SPAWN_DUP2, 1, 2)])
    ended, usage = wait(pid, argv, log)
    return ended - started, usage.ru_utime + usage.ru_stime


def peak(argv, environment, log):
    """MiB that it had resident at the most.

    The kernel counts what was resident before exec(2) as well, which would be this Python. So it is a child
    of a shell, whose 2 MiB do not matter; the shell ends at once and leaves it to us.
    """
    with subreaper():
        shell = subprocess.run(["/bin/sh", "-c", '"$@" >"$0" 2>&1 & echo $!', log, *argv], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    _, usage = wait(int(shell.stdout), argv, log)
    return usage.ru_maxrss / 1024


def wait(pid, argv, log):
    """Until it has ended, and well: when that was, and what it used."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            os.kill(pid, 9)
        ended = time.monotonic()
    except BaseException:
        os.kill(pid, 9)
        raise
    finally:
        os.close(descriptor)
        _, status, usage = os.wait4(pid, 0)
    if status:
        with open(log, errors="replace") as said:
            code = os.waitstatus_to_exitcode(status)
            raise RuntimeError(f"{' '.join(argv)}: ended with {code}: {said.read()[-600:].strip()}")
    return ended, usage


@contextmanager
def subreaper():
    """Whose parent ends meanwhile becomes a child of this process."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
