"""Compressed bodies: whole, in any parts, up to a bound, and with several members."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding import ProtocolError
from okx_funding.wire.decompress import decompressor_of

raw_deflate = zlib.compressobj(wbits=-15)
RAW = raw_deflate.compress(b"hello" * 20) + raw_deflate.flush()
FORMS = {
    "gzip": ("gzip", gzip.compress(b"hello" * 20)),
    "two members": ("gzip", gzip.compress(b"hello" * 10) + gzip.compress(b"hello" * 10)),
    "an empty member": ("gzip", gzip.compress(b"hello" * 20) + gzip.compress(b"")),
    "zeros after it": ("x-gzip", gzip.compress(b"hello" * 20) + bytes(20)),
    "zeros between": ("gzip", gzip.compress(b"hello") + b"\0" + gzip.compress(b"hello" * 19)),
    "zlib": ("deflate", zlib.compress(b"hello" * 20)),
    "raw deflate": ("deflate", RAW),
}


def decompressed(encoding: str, parts: list[bytes], most: int = 10_000) -> tuple[bytes, bool]:
    it = decompressor_of(encoding, "GET /x")
    assert it is not None
    found = b""
    for part in parts:
        found += it.feed(part, most - len(found))
    return found, it.whole


@pytest.mark.parametrize(("encoding", "body"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_comes_out_whole_in_whatever_parts_it_comes(encoding, body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    assert decompressed(encoding, parts) == (b"hello" * 20, True)


@pytest.mark.parametrize(("encoding", "body"), FORMS.values(), ids=FORMS)
def test_half_a_body_is_not_whole(encoding, body):
    body = body.rstrip(b"\0") if "gzip" in encoding and body.endswith(bytes(20)) else body
    assert not decompressed(encoding, [body[:-3]])[1]


@pytest.mark.parametrize("form", ["gzip", "zlib", "raw deflate"])
def test_rubbish_after_the_end_is_an_error(form):
    encoding, body = FORMS[form]
    try:
        whole = decompressed(encoding, [body + b"rubbish!"])[1]
    except zlib.error:
        return
    assert not whole


@given(st.integers(1, 99), st.integers(1, 40))
def test_no_more_is_decompressed_than_asked_for(most, size):
    body = FORMS["two members"][1]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    assert decompressed("gzip", parts, most)[0] == (b"hello" * 20)[:most]


def test_a_body_of_nothing_but_members_is_an_error():
    with pytest.raises(zlib.error):
        decompressed("gzip", [gzip.compress(b"") * 1000])


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_what_was_not_asked_for_is_an_error(encoding):
    with pytest.raises(ProtocolError, match="wasn't asked for"):
        decompressor_of(encoding, "GET /x")


@pytest.mark.parametrize("encoding", ["", " ", "identity", "Identity"])
def test_nothing_compressed_needs_nothing(encoding):
    assert decompressor_of(encoding, "GET /x") is None
