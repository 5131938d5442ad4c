"""Who is alive: a lock on one byte of a file, held for life.

The kernel drops it however a process ends, and knows no process ids: nothing is reused, and it
works from one container to another. The lock belongs to the process and is lost when *any* of
its descriptors of that file is closed, so there is one descriptor in a process for each folder,
and it stays open as long as anybody in the process needs it.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading

from .file import open_checked

if sys.platform != "win32":  # there MachineLimits() says what to do instead
    import fcntl

NAME = "alive"
_HIGHEST = 2**31 - 1

_lives: dict[str, Lives] = {}
_guard = threading.Lock()


class Lives:
    """The numbers that this process has in one folder, and whether those of others live."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pid: int = os.getpid()
        self._fd = -1
        self._numbers: set[int] = set()
        self._lock = threading.RLock()

    def begin(self) -> int:
        """A number of one's own, held until `end` or the end of the process. Raises OSError."""
        with self._lock:
            self.ensure()
            while True:
                number = 1 + secrets.randbelow(_HIGHEST)
                if number not in self._numbers and self._try_lock(number):
                    self._numbers.add(number)
                    return number

    def end(self, number: int) -> None:
        """The owner of the number is no more."""
        with self._lock:
            if number not in self._numbers:
                return
            self._numbers.discard(number)
            if self._numbers:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)
            else:
                self._close()

    def ensure(self) -> None:
        """Go on living where the file was deleted: others look into the new one."""
        with self._lock:
            if self._fd >= 0 and os.fstat(self._fd).st_nlink:
                return
            self._close()
            self._fd = open_checked(self.folder, NAME)
            for number in self._numbers:
                self._try_lock(number)

    def is_alive(self, number: int) -> bool:
        """Whether the owner of the number lives, in this process or another one."""
        with self._lock:
            # To ask for one's own lock is to get it, and to give it back is to die.
            if number in self._numbers:
                return True
            if self._fd < 0:
                self.ensure()
            if not self._try_lock(number):
                return True
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)
            return False

    def _try_lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lives_in(folder: str) -> Lives:
    """The one of this process for a folder. A forked child begins with one of its own."""
    with _guard:
        lives = _lives.get(folder)
        if lives is None or lives.pid != os.getpid():
            lives = _lives[folder] = Lives(folder)
        return lives


def _forget_after_fork() -> None:
    global _guard
    _guard = threading.Lock()  # another thread of the parent may have held it
    for lives in _lives.values():
        lives._close()  # the locks are the parent's: closing a copy here drops none of them
    _lives.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_after_fork)
