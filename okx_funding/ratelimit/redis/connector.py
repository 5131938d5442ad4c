"""Makes connections to a Redis, and shows no password."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.credentials import CredentialProvider

from okx_funding.auth.secret import Secret
from okx_funding.errors import InvalidArgumentError

ANSWER_WITHIN = 1.0
"""Seconds within which Redis has to answer, unless the URL names a ``socket_timeout``."""

ENVIRONMENT = "OKX_BUCKETS"
"""The environment variable with the URL, for where none is given."""

RedisCredentials = Callable[[], "tuple[str, str] | Awaitable[tuple[str, str]]"]
"""Gives user and password for the next connection, or what can be awaited for them."""


class Connector:
    """Makes connections to the Redis of a URL, and shows no password."""

    def __init__(self, url: str | None = None, credentials: RedisCredentials | None = None) -> None:
        if url is None:
            url = os.environ.get(ENVIRONMENT)
            if not url:
                raise InvalidArgumentError(f"give the URL of a Redis, or set {ENVIRONMENT}")
        settings = _settings_of(url)
        if settings is None:
            raise InvalidArgumentError(
                "buckets must be the URL of a Redis: redis://host:6379/0, rediss://... or unix://..."
            )
        parts = urlsplit(url)
        self.where: str = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if parts.scheme == "unix":
            self.where += parts.path
        self._make: Callable[..., Any] = settings.pop("connection_class", Connection)
        if credentials is not None:
            if settings.pop("username", None) or settings.pop("password", None):
                raise InvalidArgumentError("give credentials= or a password in the URL, not both")
            settings["credential_provider"] = _Provider(credentials)
        self.rotates: bool = credentials is not None
        """Whether the next connection may know a better password."""
        for name in settings:
            if "password" in name:
                settings[name] = Secret(settings[name])
        self.answer_within: float = settings.get("socket_timeout") or ANSWER_WITHIN
        settings |= {"socket_connect_timeout": self.answer_within, "socket_timeout": None}
        settings |= {"retry_on_timeout": False, "decode_responses": False, "protocol": 3}
        if parts.scheme != "unix":
            settings |= {"socket_keepalive": True, "socket_keepalive_options": _keep_alive()}
        self._settings = settings | _quiet()

    async def connect(self) -> AbstractConnection:
        """A new connection. Raises what redis-py raises, and TimeoutError."""
        connection: AbstractConnection = self._make(**self._settings)
        for name in ("driver_info", "lib_name", "lib_version"):
            if hasattr(connection, name):  # it would need a right that older servers don't know
                setattr(connection, name, None)
        try:
            async with asyncio.timeout(self.answer_within):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await close_quietly(connection)
            raise
        return connection

    async def read(self, connection: AbstractConnection) -> Any:
        """The next answer or message, however long it takes."""
        return await connection.read_response(push_request=True)

    async def ask(
        self, connection: AbstractConnection, commands: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        """The answers to some commands, errors among them. Raises TimeoutError."""
        packed = connection.pack_commands(commands)
        await connection.send_packed_command(packed, check_health=False)
        answers: list[Any] = []
        while len(answers) < len(commands):
            try:
                async with asyncio.timeout(self.answer_within):
                    answers.append(await self.read(connection))
            except exceptions.ResponseError as error:
                answers.append(error)
        return answers


class _Provider(CredentialProvider):
    def __init__(self, credentials: RedisCredentials) -> None:
        self._credentials = credentials

    async def get_credentials_async(self) -> tuple[str, str]:
        given = self._credentials()
        return await given if inspect.isawaitable(given) else given


_PUSHES = (b"message", b"subscribe", b"unsubscribe")


def is_push(answer: Any) -> bool:
    """Whether it is a message, which no command asked for."""
    return isinstance(answer, list) and bool(answer) and answer[0] in _PUSHES


def _settings_of(url: str) -> dict[str, Any] | None:
    """What redis-py makes of a URL; None when it makes nothing of it."""
    try:
        return {**parse_url(url)}
    except (ValueError, TypeError, AttributeError):
        return None


def _keep_alive() -> dict[int, int]:
    """A connection on which nothing is said for minutes is forgotten by many a middlebox."""
    wanted = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
    return {getattr(socket, name): n for name, n in wanted.items() if hasattr(socket, name)}


def _quiet() -> dict[str, Any]:
    """Newer versions of redis-py ask for notifications that are of no use here."""
    try:
        from redis.asyncio import maint_notifications  # noqa: F401
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


async def close_quietly(connection: AbstractConnection) -> None:
    """Close it, whatever its state."""
    with contextlib.suppress(exceptions.RedisError, OSError, TimeoutError):
        await connection.disconnect(nowait=True)
