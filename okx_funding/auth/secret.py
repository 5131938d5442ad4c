"""Text that must not be seen, and what makes a text unusable as a part of credentials."""

from __future__ import annotations

import re
from typing import Any, NoReturn, Self, SupportsIndex

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")


class Secret(str):
    """Text that doesn't show in a ``repr``: not in locals, nor in a dict or tuple around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("secrets are not pickled")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def problem_of(name: str, value: object) -> str | None:
    """What makes ``value`` unusable, without a word of it. Never raises."""
    if not isinstance(value, str):
        return f"{name} must be a str, not {type(value).__name__}"
    if not value:
        return f"{name} is empty"
    if value != value.strip():
        return f"{name} has white space around it"
    if _CONTROL.search(value):
        return f"{name} contains a control character, such as a line break"
    if _NON_ASCII.search(value):
        return f"{name} contains a character outside ASCII: copy it again as plain text"
    return None
