"""Whose key it is: asked once for each key, and compared with what was given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from okx_funding.errors import InvalidArgumentError


class UserProof:
    """The users of the keys of one session.

    OKX counts by user. Two processes that call one user by two names would each use the whole
    limit, and OKX would refuse a third of their requests without a word of the cause.
    """

    def __init__(self) -> None:
        self._asking: dict[str, asyncio.Task[str]] = {}

    def known(self, mark: str) -> bool:
        """Whether the user of the key with this mark was proved."""
        task = self._asking.get(mark)
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    async def confirm(self, mark: str, given: str | None, ask: Callable[[], Awaitable[str]]) -> str:
        """The user id of the key with this mark. However many callers come, ``ask`` runs once.

        Raises InvalidArgumentError where ``given`` is the id of another user, and what ``ask``
        raises: then the next caller asks again.
        """
        task = self._asking.get(mark)
        if task is None or (task.done() and not self.known(mark)):
            task = self._asking[mark] = asyncio.ensure_future(_result_of(ask))
        user = await asyncio.shield(task)
        if given is not None and given != user:
            raise InvalidArgumentError(
                f"user_id={given!r} is not the user of this key, which is {user!r}: with shared "
                "limits its requests would be counted as somebody else's"
            )
        return user

    async def aclose(self) -> None:
        """Ask nothing more."""
        asking = [task for task in self._asking.values() if not task.done()]
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)


async def _result_of(ask: Callable[[], Awaitable[str]]) -> str:
    return await ask()
