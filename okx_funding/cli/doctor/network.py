"""The way to OKX: DNS, TLS, round trip, clock."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from okx_funding.cli.outcome import exit_code
from okx_funding.errors import OKXError

from .finding import Finding
from .probe import Probe, way_out

_TRIPS = 3
_CLOCK_WARNING, _CLOCK_PROBLEM = 1.0, 30.0


async def reachability(probe: Probe, *, direct: bool) -> AsyncIterator[Finding]:
    parts = urlsplit(probe.origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if direct:
        yield (found := await _dns(host, port, probe.timeout))
        if found.status == "problem":
            return
        if parts.scheme == "https":
            yield await tls(host, port, probe.timeout)
    try:
        measured = [await probe.time() for _ in range(_TRIPS)]
    except OKXError as error:
        yield Finding(
            "Round trip", "problem", str(error), way_out(error), exit_code=exit_code(error)
        )
        return
    offset, trip = min(measured, key=lambda it: it[1])
    yield Finding("Round trip", "ok", f"{trip * 1000:.1f} ms, the shortest of {_TRIPS}")
    yield _clock(offset, trip)


async def _dns(host: str, port: int, timeout: float) -> Finding:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(timeout):
            addresses = await asyncio.wrap_future(_look_up(host, port))
    except TimeoutError:
        return Finding("DNS", "problem", f"no answer for {host} within {timeout:g} s", _DNS_ADVICE)
    except (OSError, UnicodeError) as error:  # the latter for a name that can't be one
        reason = getattr(error, "strerror", None) or str(error)
        return Finding("DNS", "problem", f"{host} isn't found ({reason})", _DNS_ADVICE)
    took = (loop.time() - began) * 1000
    if addresses == [host]:
        return Finding("DNS", "ok", f"{host} is an address")
    return Finding("DNS", "ok", f"{host} is {', '.join(addresses[:4])} ({took:.0f} ms)")


def _look_up(host: str, port: int) -> Future[list[str]]:
    """The addresses of ``host``; in a thread that nobody has to wait for in the end."""
    future: Future[list[str]] = Future()
    future.set_running_or_notify_cancel()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(list(dict.fromkeys(str(address[4][0]) for address in found)))

    threading.Thread(target=look_up, name="dns", daemon=True).start()
    return future


_DNS_ADVICE = "check the host's name, this machine's network and its DNS server"


async def tls(host: str, port: int, timeout: float) -> Finding:
    """A connection of its own, on which nothing is sent."""
    advice = ""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        advice = (
            "something between here and OKX may read along; if it is a proxy you trust, put its "
            "certificate into a file and name that in SSL_CERT_FILE"
        )
        reason = error.verify_message
    except TimeoutError:
        reason, advice = f"no connection within {timeout:g} s", "look for a firewall"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        advice = "look for a firewall, and for a proxy that OKX_PROXY should name"
    else:
        connection = writer.get_extra_info("ssl_object")
        certificate = connection.getpeercert()
        version = connection.version()
        writer.transport.abort()
        return _certificate(version, certificate)
    return Finding("TLS", "problem", f"{host}:{port}: {reason}", advice)


def _certificate(version: str, certificate: dict[str, Any]) -> Finding:
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    names = {key: value for part in certificate["issuer"] for key, value in part}
    issuer = names.get("organizationName") or names.get("commonName", "an unknown issuer")
    day = dt.datetime.fromtimestamp(ends, dt.UTC).date()
    return Finding("TLS", "ok", f"{version}, certificate by {issuer}, valid until {day}")


def _clock(offset: float, trip: float) -> Finding:
    way = "behind" if offset > 0 else "ahead of"
    text = f"{abs(offset):.3f} s {way} OKX's, give or take {trip / 2:.3f} s"
    if abs(offset) - trip / 2 <= _CLOCK_WARNING:
        return Finding("Clock", "ok", text)
    return Finding(
        "Clock",
        "problem" if abs(offset) - trip / 2 > _CLOCK_PROBLEM else "warning",
        text,
        "set this machine's clock, by NTP: OKX refuses what is stamped more than 30 s off (50102); "
        "this client corrects itself, at the cost of a refused request, others don't",
    )
