"""Answers that are none: not HTTP, badly packed, too long, or JSON of a strange kind."""

from __future__ import annotations

import gzip
import struct
import zlib

from tests.faults.server import BODY, FINE
from tests.support import envelope, http, row

CHUNKED = "Transfer-Encoding: chunked"
NO_HTTP = {
    "chunks without an end": http(b"400\r\n" + BODY, headers=[CHUNKED], length=None),
    "a chunk without a size": http(b"zz\r\n" + BODY, headers=[CHUNKED], length=None),
    "a status line of another world": b"ICY 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "two lengths": http(BODY, headers=["Content-Length: 3"]),
    "a length and chunks": http(BODY, headers=[CHUNKED]),
    "an endless length": http(BODY, headers=["Content-Length: " + "9" * 40], length=None),
    "a negative length": http(BODY, headers=["Content-Length: -1"], length=None),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

DEEP = 10_000
STRANGE = {
    "a deep array": b"[" * DEEP + b"]" * DEEP,
    "a deep array among what is ignored": b'{"x":%s,"code":"0","data":[]}'
    % (b"[" * DEEP + b"]" * DEEP),
    "a deep object for a code": b'{"code":%s' % (b'{"a":' * DEEP),
    "a deep row": envelope(row()).replace(b'"CELT"', b"[" * DEEP, 1),
    "bad UTF-8": BODY.replace(b"CELT-OKTC", b"CELT\xff\xfe"),
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "half a surrogate": BODY.replace(b"CELT-OKTC", b"\\ud800"),
    "the other half": BODY.replace(b"CELT-OKTC", b"\\udc00x"),
    "something behind it": BODY + b"{}",
    "a null byte": BODY.replace(b"CELT-OKTC", b"CELT\x00"),
}

PACKED = gzip.compress(BODY)
BADLY_PACKED = {
    "half of it": (PACKED[:-20], "gzip"),
    "all but the last byte": (PACKED[:-1], "gzip"),
    "something behind it": (PACKED + b"{}", "gzip"),
    "a wrong sum": (PACKED[:-8] + bytes(8), "gzip"),
    "not packed at all": (BODY, "gzip"),
    "not deflated at all": (BODY, "deflate"),
    "br, which nobody asked for": (PACKED, "br"),
    "zstd, which nobody asked for": (PACKED, "zstd"),
    "twice": (gzip.compress(PACKED), "gzip, gzip"),
}

TRAILERS = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1000) for n in range(10_000))
HEADED = {
    "one header of 9 kB": http(BODY, headers=["X: " + "x" * 9000]),
    "200 headers": http(BODY, headers=[f"X-{n}: 1" for n in range(200)]),
    "a megabyte of headers": http(BODY, headers=[f"X-{n}: {'x' * 5000}" for n in range(200)]),
    "a status line of 9 kB": b"HTTP/1.1 200 " + b"O" * 9000 + FINE[15:],
    "10 MB of trailers": http(b"0\r\n" + TRAILERS + b"\r\n", headers=[CHUNKED], length=None),
}


def bomb(megabytes):
    """Gzip that becomes so many megabytes of zeros, made of one block again and again."""
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = press.compress(bytes(2**20)) + press.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return (
        gzip.compress(b"")[:10] + block * megabytes + end + struct.pack("<II", 0, megabytes << 20)
    )
