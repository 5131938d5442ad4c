"""How far it is: on a terminal while something takes its time, nowhere in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.live import Live
from rich.spinner import Spinner

from okx_funding.client import FundingClient

from . import show

_EVERY = 0.25


def shown(*, rows_on_screen: bool) -> bool:
    """Whether there is a terminal for it that rows aren't written to at the same time."""
    written = rows_on_screen and sys.stdout.isatty()
    return show.console(stderr=True).is_terminal and not written


@asynccontextmanager
async def progress(
    client: FundingClient, text: Callable[[], str], *, rows_on_screen: bool
) -> AsyncIterator[None]:
    """Show ``text()``, and how long the limit makes it wait, until the block ends."""
    if not shown(rows_on_screen=rows_on_screen):
        yield
        return
    spinner = Spinner("dots", text=text())
    # Standard output is left alone: rows go to a file there while this is shown.
    with Live(
        spinner,
        console=show.console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):

        async def follow() -> None:
            while True:
                spinner.update(text=text() + waiting(client))
                await asyncio.sleep(_EVERY)

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


def waiting(client: FundingClient) -> str:
    """How long the busiest limit makes callers wait."""
    waits = [it.next_slot_in for it in client.statistics().buckets if it.callers_waiting]
    wait = max(waits, default=0.0)
    return f", waiting {wait:.1f} s for the limit" if 0.1 < wait < 1e9 else ""
