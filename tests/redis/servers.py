"""Redis servers of one's own, on free ports, which may be killed, frozen and brought back."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
WHY_NOT = "redis-server isn't installed: apt-get install redis-server"


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port: int = it.getsockname()[1]
        return port


class RedisServer:
    """One server, which keeps nothing on disk."""

    def __init__(self, *settings: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._settings = settings
        self._password = settings[1] if settings[:1] == ("--requirepass",) else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM is not None
        places = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", "/tmp")
        command = [PROGRAM, *places, "--save", "", "--appendonly", "no", *self._settings]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            with contextlib.suppress(OSError, RuntimeError):
                assert self.say("PING") == "PONG"
                return
            time.sleep(0.02)
        raise RuntimeError("the server doesn't come up")

    def kill(self) -> None:
        """It is gone at once, with all that it knew."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def say(self, *command: str) -> Any:
        """One command over a connection of its own. Raises RuntimeError for an error."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as it, it.makefile("rb") as file:
            if self._password is not None:
                it.sendall(_packed("AUTH", self._password))
                _read(file)
            it.sendall(_packed(*command))
            return _read(file)

    def hash(self, name: str) -> dict[str, str]:
        flat = self.say("HGETALL", name)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def commands(self) -> dict[str, int]:
        """How often each command was called, those of this helper left out."""
        told = re.findall(r"cmdstat_(\S+?):calls=(\d+)", self.say("INFO", "commandstats"))
        return {name: int(calls) for name, calls in told if name not in ("info", "hgetall")}


def _packed(*command: str) -> bytes:
    words = [word.encode() for word in command]
    packed = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(packed)


def _read(file: Any) -> Any:
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise OSError("cut short")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else file.read(size + 2)[:-2].decode()
    if kind == b"*":
        return [_read(file) for _ in range(int(rest))]
    return int(rest) if kind == b":" else rest.decode()


@contextlib.contextmanager
def running(*settings: str) -> Iterator[RedisServer]:
    server = RedisServer(*settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
