"""What a client is made with: other libraries' habits are answered, observers are checked."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from okx_funding import Credentials, FundingClient, InvalidArgumentError
from okx_funding.telemetry.events import Event
from tests.support.fake_session import FakeSession, names

pytestmark = pytest.mark.looptime

Any_client: Any = FundingClient
KEYS = ("canary-key-4711", "canary-secret-4712", "canary-phrase-4713")


def refusal(*positional: Any, **options: Any) -> str:
    """What is said of these arguments, with all that a traceback can show."""
    with pytest.raises(InvalidArgumentError) as caught:
        Any_client(*positional, **options)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "okx_funding" in frame.filename]
    assert ours
    assert not [key for key in KEYS if key in str([frame.locals for frame in ours])]
    assert not [key for key in KEYS if key in str(caught.value)]
    return str(caught.value)


@pytest.mark.parametrize("positional", [KEYS, KEYS[:1], (*KEYS, False, "0")])
def test_keys_one_after_the_other_are_answered_with_what_to_write(positional):
    assert "FundingClient(Credentials(api_key, secret_key, passphrase))" in refusal(*positional)


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"flag": "0"}, "demo=True instead of flag='1'"),
        ({"api_key": KEYS[0]}, "Credentials(api_key, secret_key, passphrase)"),
        ({"api_secret_key": KEYS[1]}, "Credentials(api_key, secret_key, passphrase)"),
        ({"domain": "https://www.okx.com"}, "base_url="),
        ({"debug": False}, "setLevel"),
        ({"proxy": "http://localhost:3128"}, "Session(proxy=...)"),
        ({"requset_timeout": 3}, "it takes credentials, profile, session"),
    ],
)
def test_options_of_others_are_answered_with_what_to_write(option, advice):
    assert advice in refusal(Credentials("k", "s", "p"), **option)


def test_ccxts_dictionary_is_answered_with_what_to_write():
    keys = {"apiKey": KEYS[0], "secret": KEYS[1], "password": KEYS[2]}
    assert "Credentials(api_key, secret_key, passphrase)" in refusal(keys)


def test_a_class_of_ones_own_may_take_what_it_likes():
    class Mine(FundingClient):
        def __init__(self, key: str, secret: str, phrase: str, flag: str) -> None:
            super().__init__(Credentials(key, secret, phrase), demo=flag == "1")

    assert "demo" in repr(Mine("k", "s", "p", "1"))


@pytest.mark.parametrize("observer", ["print", 5, [], object()])
def test_an_observer_that_cannot_be_called_is_refused(observer):
    with pytest.raises(InvalidArgumentError, match="observer must be a function of one event"):
        FundingClient(Credentials("k", "s", "p"), observer=observer)


class Unhashable(list[Event]):
    """Equal to every other of the same events, and without a hash."""

    def __call__(self, event: Event) -> None:
        self.append(event)


async def test_an_observer_without_a_hash_works():
    observer = Unhashable()
    async with FakeSession() as session, session.client(observer=observer) as client:
        assert names(await client.get_non_tradable_assets("CELT")) == ["CELT"]
    assert len(observer) == 4


async def test_observers_that_are_equal_are_told_of_their_own_calls_only():
    one, other, credentials = Unhashable(), Unhashable(), Credentials("k", "s", "p", user_id="7")
    async with FakeSession() as session:
        first = session.client(observer=one, credentials=credentials)
        session.client(observer=other, credentials=credentials)
        await first.get_non_tradable_assets("CELT")
    assert (len(one), len(other)) == (4, 0)
