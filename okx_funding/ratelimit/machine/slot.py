"""A slot in hand."""

from __future__ import annotations

from .law import LoggedRequest


class MachineSlot:
    """The right to one request, as it is logged in the file."""

    __slots__ = ("callers", "keys", "owner", "sent_at", "serial", "taken")

    def __init__(self, request: LoggedRequest, sent_at: float) -> None:
        self.owner: int = request.owner
        self.serial: int = request.serial
        self.taken: float = request.taken
        """When it was taken, by the machine's clock."""
        self.sent_at: float = sent_at
        """The same by the loop's."""
        self.keys: int = 0
        self.callers: int = 0
        """What its request carries."""
