"""The user of a key is asked for once, and a wrong one is an error before anything is counted."""

from __future__ import annotations

import asyncio

import pytest

from okx_funding import InvalidArgumentError
from okx_funding.ratelimit.redis.identity import UserProof

pytestmark = pytest.mark.looptime


class Exchange:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def ask(self):
        self.asked += 1
        await asyncio.sleep(1)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_many_callers_ask_once():
    users, exchange = UserProof(), Exchange("1002")
    asked = [users.confirm("key", None, exchange.ask) for _ in range(9)]
    assert await asyncio.gather(*asked) == ["1002"] * 9
    assert await users.confirm("key", "1002", exchange.ask) == "1002"
    assert exchange.asked == 1
    assert users.known("key")


async def test_each_key_is_asked_for():
    users, exchange = UserProof(), Exchange("1002", "1003")
    both = asyncio.gather(*(users.confirm(key, None, exchange.ask) for key in ("one", "two")))
    assert sorted(await both) == ["1002", "1003"]


async def test_a_wrong_user_is_an_error_that_names_both():
    users, exchange = UserProof(), Exchange("1002")
    with pytest.raises(InvalidArgumentError, match="'1003' is not .* '1002'"):
        await users.confirm("key", "1003", exchange.ask)


async def test_an_error_is_not_remembered():
    users, exchange = UserProof(), Exchange(OSError("down"), "1002")
    with pytest.raises(OSError, match="down"):
        await users.confirm("key", None, exchange.ask)
    assert not users.known("key")
    assert await users.confirm("key", None, exchange.ask) == "1002"


async def test_a_caller_who_leaves_takes_nothing_from_the_others():
    users, exchange = UserProof(), Exchange("1002")
    one = asyncio.create_task(users.confirm("key", None, exchange.ask))
    two = asyncio.create_task(users.confirm("key", None, exchange.ask))
    await asyncio.sleep(0.5)
    one.cancel()
    assert await two == "1002"
    assert exchange.asked == 1


async def test_closing_stops_asking():
    users, exchange = UserProof(), Exchange("1002")
    one = asyncio.create_task(users.confirm("key", None, exchange.ask))
    await asyncio.sleep(0.5)
    await users.aclose()
    with pytest.raises(asyncio.CancelledError):
        await one
