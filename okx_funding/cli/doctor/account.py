"""The key: does OKX know it, whose is it, what may it do, and at which host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from okx_funding.api.account import GET_ACCOUNT_CONFIG, AccountConfig
from okx_funding.auth.credentials import Credentials
from okx_funding.auth.settings import SITES
from okx_funding.cli.outcome import CREDENTIALS, exit_code, in_options
from okx_funding.errors import (
    APIError,
    AuthenticationError,
    OKXError,
    PermissionDeniedError,
    RateLimitError,
)

from .finding import Finding
from .machine import ACCOUNTS
from .probe import Probe, way_out

_WRONG_HOST = {"50111", "50119"}


async def key(
    probe: Probe, credentials: Credentials, *, ask_others: bool
) -> AsyncIterator[Finding]:
    context = probe.context(credentials)
    mode = "demo" if probe.demo else "live"
    try:
        config, _ = await probe.ask(GET_ACCOUNT_CONFIG, context)
    except OKXError as error:
        code = error.code if isinstance(error, APIError) else ""
        advice = way_out(error)
        refused = probe.session.statistics().refused
        if isinstance(error, RateLimitError) or (refused and isinstance(error, TimeoutError)):
            advice = "wait a little: another program spends this user's limit"
        elif code in _WRONG_HOST and probe.origin in SITES.values():
            advice = await _other_hosts(probe, credentials, ask_others=ask_others)
        wrong = isinstance(error, AuthenticationError | PermissionDeniedError)
        yield Finding(
            "Key",
            "problem",
            in_options(credentials.redact(f"{credentials.masked}, {mode}: {error}")),
            advice,
            exit_code=CREDENTIALS if wrong else exit_code(error),
        )
        return
    if config is None:
        yield Finding("Key", "problem", f"{GET_ACCOUNT_CONFIG} answered no row")
        return
    probe.session.learn_user_id(context, config.uid)
    if credentials.user_id not in (None, config.uid):
        yield Finding(
            "Key",
            "warning",
            f"{credentials.masked}, {mode}, is of User ID {config.uid}, and user_id says "
            f"{credentials.user_id}",
            "set user_id (or OKX_USER_ID) right, or leave it out: limits are counted by it",
        )
    else:
        yield Finding("Key", "ok", f"{credentials.masked}, {mode}, of User ID {config.uid}")
    yield _permissions(config)


def _permissions(config: AccountConfig) -> Finding:
    if config.perm is None:
        return Finding(
            "Permissions", "warning", "OKX doesn't tell", "look at OKX's page of the key"
        )
    has = {word.strip() for word in config.perm.split(",")} - {""}
    text = ", ".join(sorted(has)) or "none"
    text += ", bound to an IP address" if config.ip else ", not bound to an IP address"
    if "read_only" not in has:
        return Finding(
            "Permissions", "problem", text, "give the key Read permission", exit_code=CREDENTIALS
        )
    if has == {"read_only"}:
        return Finding("Permissions", "ok", text)
    advice = "Read is enough here: make a key that can do no more"
    if not config.ip:
        advice += ", or bind this one to your addresses (unbound, OKX drops it after 14 idle days)"
    return Finding("Permissions", "warning", text, advice)


async def _other_hosts(probe: Probe, credentials: Credentials, *, ask_others: bool) -> str:
    """Which of OKX's hosts may know the key. It is sent to them only when that was asked for."""
    others = {site: url for site, url in SITES.items() if url != probe.origin}
    if ask_others:
        for url in others.values():
            if await _knows(probe, credentials, url):
                return f"{url} knows the key: set OKX_API_BASE_URL={url}, or site in the profile"
        return "none of OKX's hosts knows the key: make a new one, or copy it again, whole"
    reachable = await asyncio.gather(*(_answers(probe, url) for url in others.values()))
    told = "; ".join(
        f"for an account of {ACCOUNTS[site]} set OKX_API_BASE_URL={url}"
        + ("" if answers else " (which doesn't answer from here)")
        for (site, url), answers in zip(others.items(), reachable, strict=True)
    )
    return f"{told}. okx-funding doctor --find-host asks these hosts with your key"


async def _answers(probe: Probe, url: str) -> bool:
    try:
        await probe.time(url)
    except OKXError:
        return False
    return True


async def _knows(probe: Probe, credentials: Credentials, url: str) -> bool:
    try:
        await probe.ask(GET_ACCOUNT_CONFIG, probe.context(credentials, url))
    except APIError as error:
        return error.code not in _WRONG_HOST
    except OKXError:
        return False
    return True
