"""aioresponses and this version of aiohttp get along, with conftest's help."""

from __future__ import annotations

import aiohttp
import aioresponses.core
import pytest
from aioresponses import aioresponses as mocked

URL = "http://127.0.0.1/x"


async def test_a_mocked_answer_arrives():
    with mocked() as mock:
        mock.get(URL, payload={"code": "0"})
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            assert (response.status, response.method) == (200, "GET")
            assert await response.json() == {"code": "0"}


def test_the_help_is_still_needed():
    if aioresponses.core.ClientResponse is aiohttp.ClientResponse:
        pytest.skip("this aiohttp asks for nothing that aioresponses doesn't give")
    match = aioresponses.core.RequestMatch(URL)
    problem = ""
    try:
        match._build_response(URL, response_class=aiohttp.ClientResponse)
    except TypeError as error:
        problem = str(error)
    assert "stream_writer" in problem, (
        "aioresponses copes with this aiohttp by itself: take the help out of conftest.py"
    )
