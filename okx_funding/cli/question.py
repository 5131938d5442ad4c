"""Before something is changed: what would be sent, and whether it may be."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Awaitable, Mapping
from typing import Any

from okx_funding.api.spec import Endpoint, Options, Param, ReadOptions
from okx_funding.api.table import Reads
from okx_funding.wire.request import build_request

from . import show
from .outcome import USAGE, Failure, one_line


class Recorder(Reads):
    """The methods of a client that send nothing: ``request`` is what they would have sent."""

    __slots__ = ("request",)

    def __init__(self) -> None:
        self.request: tuple[Endpoint[Any], Mapping[str, Param]] | None = None

    def _rows(
        self,
        endpoint: Endpoint[Any],
        params: Mapping[str, Param],
        options: ReadOptions | Options,  # noqa: ARG002
    ) -> Awaitable[list[Any]]:
        self.request = endpoint, params
        raise Recorded

    async def _row(
        self, endpoint: Endpoint[Any], params: Mapping[str, Param], options: ReadOptions | Options
    ) -> Any:
        return await self._rows(endpoint, params, options)


class Recorded(Exception):
    """The request is known; nothing was sent."""


async def recorded(method: Any, given: Mapping[str, Any]) -> tuple[Endpoint[Any], dict[str, Any]]:
    """The endpoint and the parameters that a read or change would be sent with.

    Raises InvalidArgumentError for arguments that can't be used.
    """
    recorder = Recorder()
    with contextlib.suppress(Recorded):
        await method(recorder, **given)
    assert recorder.request is not None
    endpoint, params = recorder.request
    return endpoint, {name: value for name, value in params.items() if value is not None}


def show_request(
    args: argparse.Namespace, endpoint: Endpoint[Any], params: Mapping[str, Any]
) -> None:
    """``--dry-run``: method, path and body, to the letter; no key is needed for it nor shown."""
    method, target, body = build_request(endpoint, params)
    if args.json:
        show.print_json({"method": method, "path": target, "body": json.loads(body or "null")})
        return
    console = show.console()
    console.print(f"{method} {target}", soft_wrap=True)
    if body:
        console.print(body, soft_wrap=True)
    console.print("Nothing was sent.")


def announce(title: str, fields: Mapping[str, Any]) -> None:
    """What is about to be sent, on standard error."""
    console = show.console(stderr=True)
    lines = [
        (name, one_line(json.dumps(it) if isinstance(it, dict | list | bool) else str(it)))
        for name, it in fields.items()
    ]
    console.print(title)
    console.print(show.figures(lines))


def confirm(args: argparse.Namespace) -> None:
    """Ask, unless ``--yes`` was given; Failure where the answer isn't yes."""
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nobody can be asked here: --yes sends without a question. Nothing was sent", USAGE
        )
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("not confirmed: nothing was sent")
