"""One limit for all processes of a machine, without a server: one small file for each limit.

The rooms: ``law`` is the rule, pure functions of a state and a time; ``layout`` its bytes;
``file`` opens, locks and replaces a file; ``alive`` tells who lives; ``access`` makes one change
of one file; ``view`` is what one session holds and has yet to tell the file; ``bucket`` is what a
queue takes slots from; ``forecast`` tells when; ``store`` holds the buckets of a session together;
``inspect`` shows it all to whoever operates it.
"""

from __future__ import annotations

from .bucket import MachineBucket
from .inspect import MachineLimit, MachineReport, inspect_machine
from .store import MachineLimits

__all__ = [
    "MachineBucket",
    "MachineLimit",
    "MachineLimits",
    "MachineReport",
    "inspect_machine",
]
