"""What can be told without sending anything: versions, host, proxy, the table of limits."""

from __future__ import annotations

import os
import platform
import re
import ssl
import warnings
from collections.abc import Iterator
from importlib import metadata
from urllib.parse import urlsplit

from okx_funding.api.table import ENDPOINTS
from okx_funding.auth.credentials import Credentials, resolve
from okx_funding.auth.profile_file import open_to_others
from okx_funding.auth.settings import SITES, CredentialsWarning, source
from okx_funding.cli.outcome import CREDENTIALS, Failure, in_options
from okx_funding.errors import InvalidArgumentError

from .finding import Finding

NEEDED: dict[str, tuple[int, ...]] = {
    "aiohttp": (3, 14, 3),
    "aiolimiter": (1, 2, 1),
    "msgspec": (0, 20),
    "rich": (13,),
    "shtab": (1, 7),
}
"""The least versions, as in pyproject.toml."""
_OPTIONAL = ("redis", "prometheus-client", "opentelemetry-api", "uvloop")
ACCOUNTS = {
    "global": "www.okx.com",
    "eea": "my.okx.com (EEA)",
    "us": "app.okx.com (US and AU)",
    "tr": "tr.okx.com (Turkey)",
}
"""Where the accounts of a site log in. https://www.okx.com/docs-v5/en/#overview"""
_ODD_HOSTS = {
    "my.okx.com": SITES["eea"],
    "app.okx.com": SITES["us"],
    "aws.okx.com": SITES["global"],
}


def versions() -> Finding:
    from okx_funding import __version__

    there = {name: _version(name) for name in (*NEEDED, *_OPTIONAL)}
    text = ", ".join(
        [
            f"okx-funding {__version__}",
            f"Python {platform.python_version()}",
            *(f"{name} {version}" for name, version in there.items() if version),
            ssl.OPENSSL_VERSION.partition("  ")[0],
            platform.system(),
        ]
    )
    old = [name for name, least in NEEDED.items() if _numbers(there[name]) < least]
    if old:
        return Finding("Versions", "problem", text, f"pip install --upgrade {' '.join(old)}")
    return Finding("Versions", "ok", text)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def host(origin: str) -> Finding:
    host = urlsplit(origin).hostname or ""
    for site, url in SITES.items():
        if origin == url:
            return Finding("Host", "ok", f"{origin}, for accounts of {ACCOUNTS[site]}")
    if host in _ODD_HOSTS:
        return Finding(
            "Host", "warning", f"{origin} isn't the API's host", f"use {_ODD_HOSTS[host]}"
        )
    if host == "openapi.okx.com":
        return Finding("Host", "ok", f"{origin}, OKX's own for programs with global accounts")
    if host.endswith(".okx.com"):
        return Finding("Host", "ok", f"{origin}, one more of OKX's hosts")
    return Finding(
        "Host",
        "ok" if origin.startswith("http://") else "warning",
        f"{origin}, which isn't OKX's",
        "" if origin.startswith("http://") else "make sure that you trust it: it sees the key",
    )


def credentials(profile: str | None) -> tuple[Credentials | None, list[Finding]]:
    """The credentials, where they come from, and whether others can read them."""
    found: Credentials | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CredentialsWarning)  # it is a finding of its own
            where = source(profile)
            found, _ = resolve(None, profile)
        told = [Finding("Credentials", "ok", f"from {where}")]
    except InvalidArgumentError as error:
        told = [Finding("Credentials", "problem", in_options(str(error)), exit_code=CREDENTIALS)]
    if (problem := open_to_others()) is not None:
        text, _, advice = problem.partition(": ")
        told.append(Finding("Key file", "warning", text, advice))
    return found, told


def proxy(proxy: str | None) -> Iterator[Finding]:
    if proxy is not None:
        yield Finding("Proxy", "ok", f"{proxy.rpartition('@')[2]}")
        return
    ignored = [
        name
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        if name in os.environ
    ]
    if ignored:
        yield Finding(
            "Proxy",
            "warning",
            f"{', '.join(ignored)} is set and isn't used",
            "set OKX_PROXY if OKX is reached through a proxy only",
        )


def limits() -> Finding:
    by_user = [
        it for it in ENDPOINTS.values() if it.limits[0].per == ("user",) and it.batch_by is not None
    ]
    text = ", ".join(f"{endpoint.name} {endpoint.limits[0]}" for endpoint in by_user)
    return Finding("Limits", "ok", f"{text}, for each User ID; all of them: okx-funding limits")


def shared_limits() -> Finding | None:
    """The limits that the processes of this machine share; None on systems without them."""
    from okx_funding.cli.machine import report, state_of, summary

    try:
        found = report()
    except Failure:
        return None
    if found.problem is not None:
        return Finding(
            "Machine", "warning", f"{found.path}: {found.problem}", "nothing can be sent under the "
            "machine's limits: mend the folder, or turn them off with --no-machine-limits",
        )  # fmt: skip
    told = [f"{it.label}: {state_of(it)}" for it in found.limits if state_of(it) != "-"]
    bad = [f"{it.name}: {it.problem}" for it in found.limits if it.problem is not None]
    text = "; ".join([f"{found.path}, {summary(found)}" if found.limits else summary(found), *told])
    if bad:
        return Finding("Machine", "warning", f"{text}; {'; '.join(bad)}", "remove those files")
    return Finding("Machine", "ok", text)
