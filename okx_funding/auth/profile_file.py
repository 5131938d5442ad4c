"""OKX's own file of profiles, ``~/.okx/config.toml``: reading it, and who else can.

Every text is wrapped the moment it is read, and nothing is raised while a bare one is in reach.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from okx_funding.errors import InvalidArgumentError

from .secret import Secret

WHERE = "~/.okx/config.toml"


def open_to_others() -> str | None:
    """What to say where other users of the machine can read the profile file, else None."""
    try:
        path = _path()
        mode = path.stat().st_mode if path is not None else 0
    except OSError:
        return None
    if os.name == "nt" or not mode & 0o044:
        return None
    return f"other users of this machine can read {WHERE}, with its keys: chmod 600 {WHERE}"


def _wrapped(value: object, key: str = "") -> object:
    """The same TOML with its texts wrapped, and everything that can't be right made harmless."""
    if isinstance(value, dict):
        return {name: _wrapped(inner, name) for name, inner in value.items()}
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, int) and key in {"demo", "user_id"}:
        return Secret(value)
    return type(value)


def _path() -> Path | None:
    """Where the profile file is; None for a user without a home."""
    try:
        return Path.home() / ".okx" / "config.toml"
    except RuntimeError:
        return None


def read() -> dict[str, object] | None:
    """The profile file, wrapped; None when there is none."""
    path = _path()
    if path is None:
        return None
    # What tomllib raises holds the file's text in its frames, so nothing is chained to it.
    try:
        text = Secret(path.read_text("utf-8-sig"))
        import tomllib  # only where there is such a file

        return {name: _wrapped(value) for name, value in tomllib.loads(text).items()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "isn't UTF-8"
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError
        place = re.search(r"at line \d+, column \d+", str(error))
        problem = f"isn't TOML{f': look {place[0]}' if place else ''}"
    raise InvalidArgumentError(f"{WHERE} {problem}")
