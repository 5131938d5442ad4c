"""What several tests need: users, clients, rows, servers that follow a script."""

from __future__ import annotations

from .clients import (
    ASSETS,
    LOOP,
    VALUATION,
    at_exchange,
    failure_of,
    now,
    some,
    someone,
    start,
    virtual_loop,
    virtually,
)
from .rows import asset, assets, envelope, row, sample
from .scripted_server import (
    Heard,
    Script,
    Scripted,
    Wire,
    answers,
    at_script,
    closes,
    hangs,
    http,
    resets,
    says,
)

__all__ = [
    "ASSETS",
    "LOOP",
    "VALUATION",
    "Heard",
    "Script",
    "Scripted",
    "Wire",
    "answers",
    "asset",
    "assets",
    "at_exchange",
    "at_script",
    "closes",
    "envelope",
    "failure_of",
    "hangs",
    "http",
    "now",
    "resets",
    "row",
    "sample",
    "says",
    "some",
    "someone",
    "start",
    "virtual_loop",
    "virtually",
]
