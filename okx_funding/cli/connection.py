"""What every command that asks OKX does: credentials, limits of the machine, a client, errors."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from okx_funding.auth.credentials import Credentials, resolve
from okx_funding.auth.settings import settings as settings_of
from okx_funding.client import FundingClient
from okx_funding.errors import InvalidArgumentError, OKXError
from okx_funding.ratelimit.machine import MachineLimits
from okx_funding.session import Session

from .outcome import CREDENTIALS, Failure, exit_code

T = TypeVar("T")


def machine_limits(args: argparse.Namespace) -> MachineLimits | None:
    """The limits shared by all processes of this machine; None where that isn't possible."""
    if args.no_machine_limits:
        return None
    with contextlib.suppress(InvalidArgumentError):  # neither Linux nor macOS
        return MachineLimits()
    return None


@asynccontextmanager
async def session_of(args: argparse.Namespace, proxy: str | None) -> AsyncIterator[Session]:
    """A session under the machine's limits. What they log is of no use to who typed a command."""
    logging.getLogger("okx_funding").addHandler(logging.NullHandler())
    async with Session(proxy=proxy, limits=machine_limits(args)) as session:
        yield session


@asynccontextmanager
async def client_of(args: argparse.Namespace, **options: Any) -> AsyncIterator[FundingClient]:
    """A client as the command's options say."""
    async with (
        session_of(args, settings_of(args.profile).proxy) as session,
        FundingClient(
            session=session,
            profile=args.profile,
            base_url=args.base_url,
            demo=args.demo,
            allow_http=args.allow_http,
            **options,
        ) as client,
    ):
        yield client


def needed_credentials(args: argparse.Namespace) -> Credentials:
    """The credentials; Failure where there are none."""
    try:
        return resolve(None, args.profile)[0]
    except InvalidArgumentError as error:
        raise Failure(str(error), CREDENTIALS) from None


def run(args: argparse.Namespace, work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``; an error of okx_funding becomes a Failure without a secret in it."""
    try:
        credentials = needed_credentials(args)
    except Failure:
        work.close()
        raise
    try:
        return asyncio.run(work)
    except OKXError as error:
        raise Failure(credentials.redact(str(error)), exit_code(error)) from None
