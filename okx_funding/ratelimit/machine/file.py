"""The folder and its files: opened with care, locked without waiting, replaced when stuck."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from okx_funding.errors import InvalidArgumentError

from .layout import CHANGES, CHANGES_AT, MAX_BYTES, PAGE

SUFFIX = ".limit"
TEMPORARY = ".new"
UNUSED = 86400.0
"""Seconds after which a file that nobody used may be removed."""
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class LimitFileError(OSError):
    """A file or folder that must not be used: whose it is, or what, isn't what it should be."""


def default_folder() -> str:
    """The one folder of this user on this machine. It depends on nothing but the user's number.

    Raises InvalidArgumentError on systems other than Linux and macOS.
    """
    if sys.platform == "linux":
        place = "/dev/shm"  # noqa: S108 -- made with mode 700, and its owner is checked
    elif sys.platform == "darwin":
        place = "/private/tmp"
    else:
        raise InvalidArgumentError(
            f"MachineLimits works on Linux and macOS, not on {sys.platform}: share the limits over "
            "a Redis (buckets='redis://...'), or give each process its part of them (rate_limits=)"
        )
    return f"{place}/okx-funding-{os.geteuid()}"


def boot_id() -> bytes:
    """16 bytes that name this boot of this kernel and its clock. Raises OSError."""
    if sys.platform == "darwin":
        return _boot_of_darwin()
    import hashlib

    text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    with contextlib.suppress(OSError):  # a time namespace has another clock
        text += Path("/proc/self/timens_offsets").read_bytes()
    return hashlib.sha256(text).digest()[:16]


def _boot_of_darwin() -> bytes:
    import ctypes
    import hashlib

    libc = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(64)
    if libc.sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0):
        raise OSError(ctypes.get_errno(), "kern.bootsessionuuid can't be read")
    return hashlib.sha256(text.value).digest()[:16]


def check_folder(folder: str) -> int:
    """The mode for files in it; the folder is made if it is missing. Raises OSError.

    Raises LimitFileError where it is a link, no folder, another user's, or open to everybody.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise LimitFileError(f"{folder} is no folder (links aren't followed)")
    if found.st_mode & 0o002:
        raise LimitFileError(f"everybody may write into {folder}: chmod o-w {folder}")
    group = found.st_mode & 0o020
    if found.st_uid != os.geteuid() and not group:
        raise LimitFileError(f"{folder} belongs to user {found.st_uid}, not to {os.geteuid()}")
    return 0o660 if group else 0o600


def open_checked(folder: str, name: str, *, create: bool = True) -> int:
    """A descriptor of a plain file that nobody else can write. Raises OSError.

    Raises LimitFileError where it is something else. A folder that its group may write to shares
    its files with the group.
    """
    mode = check_folder(folder)
    path = os.path.join(folder, name)
    flags = os.O_RDWR | _FLAGS
    try:
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
            fd = os.open(path, flags | os.O_CREAT, mode)
            if mode == 0o660:
                os.fchmod(fd, mode)  # whatever the umask
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise LimitFileError(f"{path} is no plain file (links aren't followed)") from None
        raise
    found = os.fstat(fd)
    wrong = None
    if not stat.S_ISREG(found.st_mode):
        wrong = f"{path} is no plain file"
    elif found.st_uid != os.geteuid() and mode == 0o600:
        wrong = f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}"
    elif found.st_mode & 0o777 & ~mode:
        wrong = f"others may use {path}: its mode is {stat.S_IMODE(found.st_mode):o}, not {mode:o}"
    if wrong is not None:
        os.close(fd)
        raise LimitFileError(wrong)
    return fd


class LimitFile:
    """One open file. Its lock is never waited for."""

    __slots__ = ("fd", "folder", "name", "path")

    def __init__(self, folder: str, name: str, *, create: bool = True) -> None:
        self.folder: str = folder
        self.name: str = name
        self.path: str = os.path.join(folder, name)
        self.fd: int = open_checked(folder, name, create=create)

    def close(self) -> None:
        """Close the descriptor; its lock goes with it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def lock(self) -> bool:
        """Whether the lock is ours now."""
        return lock_descriptor(self.fd, blocking=False)

    def unlock(self) -> None:
        """Let others have it."""
        unlock_descriptor(self.fd)

    def has_name(self) -> bool:
        """Whether others who open it by its name get this very file: it wasn't deleted."""
        return os.fstat(self.fd).st_nlink > 0

    def read(self) -> bytes:
        """All of it."""
        data = os.pread(self.fd, 2 * PAGE, 0)
        if len(data) == 2 * PAGE:
            data += os.pread(self.fd, MAX_BYTES, len(data))
        return data

    def write(self, data: bytes, *, fresh: bool = False) -> None:
        """Write it at once. Raises OSError, also when there was room for a part only."""
        if fresh and len(data) < PAGE:
            data += bytes(PAGE - len(data))
        if os.pwrite(self.fd, data, 0) != len(data):
            raise OSError(errno.ENOSPC, "no room for all of the limit's file")

    def changes(self) -> bytes:
        """What differs as soon as anybody has written."""
        return os.pread(self.fd, CHANGES.size, CHANGES_AT)

    def replace(self) -> None:
        """Put an empty file in its place: whoever holds the lock of this one holds nothing."""
        name = f"{self.name}.{secrets.token_hex(4)}{TEMPORARY}"
        os.close(open_checked(self.folder, name))
        os.replace(os.path.join(self.folder, name), self.path)


def limit_files(folder: str) -> list[str]:
    """The names of all limit files. Raises OSError."""
    return sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))


def removing_unused(folder: str, in_use: Callable[[bytes], bool]) -> Iterator[None]:
    """Remove files that nobody used for a day, one look at a time.

    ``in_use(data)`` says whether the bytes of a file matter to anybody still.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name.endswith((SUFFIX, TEMPORARY)):
            with contextlib.suppress(OSError):
                _remove_if_unused(folder, name, in_use)
        yield


def _remove_if_unused(folder: str, name: str, in_use: Callable[[bytes], bool]) -> None:
    path = os.path.join(folder, name)
    if time.time() - os.lstat(path).st_mtime < UNUSED:
        return
    file = LimitFile(folder, name, create=False)
    try:
        # Under its lock, and only if it still is what stands under that name.
        if (
            file.lock()
            and file.has_name()
            and time.time() - os.fstat(file.fd).st_mtime >= UNUSED
            and not in_use(file.read())
        ):
            os.unlink(path)
    finally:
        file.close()
