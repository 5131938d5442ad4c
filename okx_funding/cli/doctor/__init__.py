"""``okx-funding doctor``: is all well between this machine, its key and OKX?

Every request goes through a session's lanes and buckets. Each step has a timeout
of its own and tells what it found as soon as it has found it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

from okx_funding.auth.settings import origin_of
from okx_funding.auth.settings import settings as settings_of
from okx_funding.cli import show
from okx_funding.cli.connection import session_of
from okx_funding.cli.outcome import USAGE, Failure, in_options
from okx_funding.client.funding import LIVE
from okx_funding.errors import InvalidArgumentError

from .account import key
from .fields import fields
from .finding import Finding, lines_of
from .machine import credentials as credentials_of
from .machine import host, limits, proxy, shared_limits, versions
from .network import reachability
from .probe import Probe


def doctor(args: argparse.Namespace) -> None:
    """Show all findings. Raises Failure, with the first problem's exit code, if there is one."""
    findings = asyncio.run(_show_all(args))
    problems = [finding for finding in findings if finding.status == "problem"]
    if args.json:
        names = ("name", "status", "text", "advice")
        show.print_json(
            {
                "ok": not problems,
                "findings": [{name: getattr(it, name) for name in names} for it in findings],
            }
        )
    if problems:
        word = "problem" if len(problems) == 1 else "problems"
        where = ", ".join(finding.name for finding in problems)
        raise Failure(f"{len(problems)} {word}: {where}", problems[0].exit_code)


async def _show_all(args: argparse.Namespace) -> list[Finding]:
    findings: list[Finding] = []
    console = show.console()
    async for finding in examine(args):
        findings.append(finding)
        if not args.json:
            console.print(lines_of(finding))
    return findings


async def examine(args: argparse.Namespace) -> AsyncIterator[Finding]:
    """All findings, the nearest thing first. What can't be looked at any more isn't told."""
    yield versions()
    try:
        settings = settings_of(args.profile)
        origin = origin_of(args.base_url or settings.base_url or LIVE, args.allow_http)
    except InvalidArgumentError as error:
        yield Finding("Settings", "problem", in_options(str(error)), exit_code=USAGE)
        return
    demo = args.demo if args.demo is not None else settings.demo or False
    yield host(origin)
    for found in proxy(settings.proxy):
        yield found
    credentials, told = credentials_of(args.profile)
    for found in told:
        yield found
    async with session_of(args, settings.proxy) as session:
        probe = Probe(session, origin, demo, args.timeout)
        async for found in reachability(probe, direct=settings.proxy is None):
            yield found
            if found.status == "problem" and found.name != "Clock":
                return
        if credentials is not None:
            async for found in key(probe, credentials, ask_others=args.find_host):
                yield found
    if args.fields and credentials is not None:
        async for found in fields(args, credentials):
            yield found
    yield limits()
    if (shared := shared_limits()) is not None:
        yield shared
