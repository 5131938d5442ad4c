"""All limits of one session that the processes of this machine share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from okx_funding.api.spec import RateLimit
from okx_funding.errors import InvalidArgumentError, WrongLoopError
from okx_funding.ratelimit.bucket import Claim, TokenBucket
from okx_funding.ratelimit.registry import REGISTRY, BucketKey

from . import layout
from .alive import Lives, lives_in
from .bucket import MachineBucket
from .file import SUFFIX, LimitFile, LimitFileError, boot_id, default_folder, removing_unused

LONGEST_WINDOW = 60.0
"""Seconds. Longer windows stay within the process: a boot would be silent for as long."""
OPEN_FILES = 128
_SWEEP_FROM = 256
_LEAVE_AT_MOST = 64


class MachineLimits:
    """One limit for all processes of this machine that use the same folder.

        async with Session(limits=MachineLimits()) as session: ...

    Each limit of each user is a small file. By default the folder depends on the user of the
    operating system and on nothing else; ``path`` names another one, for services with temporary
    folders of their own, several users (give the group write access to it) and containers (mount
    it into each). All that share a limit must use one folder, on one kernel; a network file
    system doesn't do.

    What was sent before the files existed isn't known, so the first process after a boot waits
    for one window. While no file can be written nothing is sent, and callers get a
    BucketsUnreachableError at their deadline. Limits by address, and those with a window above a
    minute, stay within the process.

    Raises InvalidArgumentError on systems other than Linux and macOS, and for an empty path.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        default = default_folder()
        if path is not None and (not isinstance(path, str | os.PathLike) or not os.fspath(path)):
            raise InvalidArgumentError("MachineLimits.path must be the path of a folder")
        self.path: str = default if path is None else str(Path(path).absolute())
        self.longest_request: float = 0.0
        self.clock: Callable[[], float] = time.monotonic
        self._buckets: dict[BucketKey, MachineBucket] = {}
        self._local: weakref.WeakValueDictionary[BucketKey, TokenBucket] = (
            weakref.WeakValueDictionary()
        )
        self._files: OrderedDict[str, LimitFile] = OrderedDict()
        self._number = 0
        self._lives: Lives | None = None
        self._pid = 0
        self._boot = b""
        self._serial = random.getrandbits(31)
        self._removing: Iterator[None] | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._sweep_at = _SWEEP_FROM

    def __repr__(self) -> str:
        return f"<MachineLimits in {self.path}: {len(self._buckets)} limits>"

    # -- buckets ---------------------------------------------------------------------------

    def check(self, limits: Mapping[str, RateLimit]) -> None:
        """Any limit can be kept: those that can't be shared are kept within the process."""

    def bucket(self, key: BucketKey, claim: Claim) -> MachineBucket | TokenBucket:
        """This session's view of one limit.

        Raises WrongLoopError where another event loop uses this object.
        """
        loop = self._bind()
        bucket = self._buckets.get(key)
        if bucket is not None:
            return bucket
        local = self._local.get(key)
        if local is not None or claim.limit.period > LONGEST_WINDOW:
            local = self._local[key] = REGISTRY.bucket(key, claim, loop)
            return local
        if len(self._buckets) >= self._sweep_at:
            self._sweep()
        bucket = self._buckets[key] = MachineBucket(name_of(key), label_of(key), claim, self)
        self._remove_unused()
        return bucket

    def keys_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        return [key for key in self._buckets if key.user == user]

    def forget(self, key: BucketKey) -> MachineBucket:
        """The bucket of ``key``, which nobody takes from any more."""
        return self._buckets.pop(key)

    def _bind(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        owner = self._loop() if self._loop is not None else None
        if owner is not None and owner is not loop and not owner.is_closed():
            raise WrongLoopError(
                "another event loop uses this MachineLimits: make one for each session"
            )
        if owner is not loop:
            self._buckets.clear()
            self._loop = weakref.ref(loop)
        return loop

    def _sweep(self) -> None:
        for key in [key for key, bucket in self._buckets.items() if bucket.idle()]:
            self._buckets.pop(key).close()
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._buckets))

    def _remove_unused(self) -> None:
        """Look at some files of others: a little each time, so that nobody waits for it."""
        if self._removing is None:
            self._removing = removing_unused(self.path, self._in_use)
        for _ in range(8):
            next(self._removing, None)

    def _in_use(self, data: bytes) -> bool:
        try:
            state, _ = layout.decode(data, boot_id(), self.clock())
        except layout.UnknownHistoryError:
            return False
        except layout.NewerFormatError:
            return True
        lives = self._lives or lives_in(self.path)
        return any(lives.is_alive(number) for number in state.processes)

    # -- what buckets need of the folder -----------------------------------------------------

    def enter(self) -> tuple[int, Lives, bytes]:
        """This session's number, who else lives, and the boot's name. Raises OSError.

        A forked child gets a number of its own, and opens all files anew.
        """
        lives = self._lives
        if lives is None or self._pid != os.getpid():
            self._close_files()
            self._boot = boot_id()
            lives = lives_in(self.path)
            self._number = lives.begin()
            self._lives, self._pid = lives, os.getpid()
        else:
            lives.ensure()
        return self._number, lives, self._boot

    def file(self, name: str) -> LimitFile:
        """The open file of that name; few are kept open. Raises OSError."""
        file = self._files.get(name)
        if file is None:
            while len(self._files) >= OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            file = self._files[name] = LimitFile(self.path, name)
        else:
            self._files.move_to_end(name)
        return file

    def drop(self, name: str) -> None:
        """Close it; it is opened anew when it is needed again."""
        file = self._files.pop(name, None)
        if file is not None:
            file.close()

    def next_serial(self) -> int:
        """Another one for each slot of the session."""
        self._serial = (self._serial + 1) & 0xFFFFFFFF
        return self._serial

    def explain(self, error: Exception) -> tuple[str, bool]:
        """What is wrong, and whether waiting is of no use."""
        is_fatal = isinstance(error, LimitFileError | layout.NewerFormatError)
        words = str(error)
        if isinstance(error, OSError) and error.strerror is not None:
            words = error.strerror
        return f"the limits of this machine in {self.path} can't be used: {words}", is_fatal

    # -- closing -----------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Leave all files. Other sessions that use this object, in the same loop, go on."""
        buckets = list(self._buckets.values())
        if any(bucket.claims for bucket in buckets):
            return
        for number, bucket in enumerate(buckets):
            if number < _LEAVE_AT_MOST:
                bucket.close()
            else:  # others will see that this number doesn't live any more
                bucket.stop_timer()
        self._part()

    def abandon(self) -> None:
        """Part at once, where nobody may await."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed
            for bucket in self._buckets.values():
                bucket.stop_timer()
        self._part()

    def _part(self) -> None:
        self._buckets.clear()
        self._close_files()
        if self._lives is not None and self._pid == os.getpid():
            self._lives.end(self._number)
        self._lives, self._number = None, 0

    def _close_files(self) -> None:
        while self._files:
            self._files.popitem()[1].close()


def name_of(key: BucketKey) -> str:
    """The name of the limit's file: it shows neither user nor key."""
    words = "\0".join((key.origin, "demo" if key.demo else "live", key.user, key.rule))
    return hashlib.sha256(words.encode()).hexdigest()[:32] + SUFFIX


def label_of(key: BucketKey) -> str:
    """What the file says of itself, for whoever looks into it."""
    return f"{key.rule} at {key.origin.partition('://')[2]}{' (demo)' if key.demo else ''}"
