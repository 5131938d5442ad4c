"""A lean server in a process of its own, so that only the client's CPU time is counted.

It reads requests until the blank line and answers with OKX's documented JSON, made beforehand:
the rows of the currencies asked for. It judges nothing and signs nothing. Rows may have one field
that OKX documents nowhere, and the connection may be TLS with a certificate made for the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ASSETS = "/api/v5/asset/non-tradable-assets"
CURRENCIES = tuple(f"{letter}{number:03d}" for letter in "ABCDEFGHIJ" for number in range(400))
_ROW = (
    '{"bal":"%d.%08d","burningFeeRate":"","canWd":true,"ccy":"%s","chain":"%s-OKTC",'
    '"ctAddr":"f403fb","fee":"0.%04d","feeCcy":"%s","logoLink":"https://static.example/%s.png",'
    '"minWd":"0.1","name":"","needTag":false,"wdAll":false,"wdTickSz":"8"}'
)
_VALUATION = (
    b'{"code":"0","data":[{"details":{"classic":"124.6","earn":"1122.73","funding":"0.09",'
    b'"trading":"2544.28"},"totalBal":"3790.09","ts":"1637566660769"}],"msg":""}'
)


_added = ""
"""What every row has besides the documented fields."""


def row(ccy: str) -> str:
    """The JSON text of a currency's only row."""
    number = sum(map(ord, ccy))
    text = _ROW % (number, number * 7919, ccy, ccy, number % 9999, ccy, ccy)
    return text[:-1] + _added + "}"


@lru_cache(maxsize=65536)
def body(target: str) -> bytes:
    """OKX's answer to a path with its query."""
    path, _, query = target.partition("?")
    if not path.endswith(ASSETS):
        return _VALUATION
    wanted = query.removeprefix("ccy=").replace("%2C", ",").split(",") if query else CURRENCIES[:20]
    return b'{"code":"0","data":[%s],"msg":""}' % ",".join(map(row, wanted)).encode()


@lru_cache(maxsize=65536)
def _answer(target: bytes) -> bytes:
    content = body(target.decode())
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(content), content)
    )


class _Server(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            target = self._received.split(b" ", 2)[1]
            self._received = self._received[end + 4 :]
            self.transport.write(_answer(target))


async def _serve(certificate: Path | None) -> None:
    loop = asyncio.get_running_loop()
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    server = await loop.create_server(_Server, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def serving(*, added: bool = False, certificate: Path | None = None) -> Iterator[str]:
    """The base URL of a server on loopback, in another process, which ends with the block."""
    command = [sys.executable, __file__, *(["--added"] if added else [])]
    if certificate is not None:
        command += ["--certificate", str(certificate)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1, with its key, by openssl."""
    path = folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    places = ["-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run([*command.split(), *names, *places], check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "key.pem").read_text())
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--added", action="store_true")
    parser.add_argument("--certificate", type=Path)
    options = parser.parse_args()
    if options.added:
        _added = ',"color":"green"'
    asyncio.run(_serve(options.certificate))
