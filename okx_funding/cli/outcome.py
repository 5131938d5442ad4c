"""How a command may end."""

from __future__ import annotations

import re

from okx_funding import errors

OK, ERROR, USAGE, CREDENTIALS, LIMIT, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXIT_CODES = {
    OK: "done",
    ERROR: "OKX answered with an error, or no whole answer arrived",
    USAGE: "an argument or option is wrong; nothing was sent",
    CREDENTIALS: "credentials are missing, unusable or refused, or lack a permission",
    LIMIT: "the rate limit or a timeout: worth another try later",
    UNKNOWN: "money was sent and its outcome isn't known yet: resolve it, never send it again",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
}


class Failure(Exception):
    """A command has failed: what to tell in one line, and the exit code."""

    def __init__(self, text: str, exit_code: int = ERROR) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def exit_code(error: errors.OKXError) -> int:
    """The exit code for an error of okx_funding."""
    match error:
        case errors.OutcomeUnknownError() | errors.ClientIdReusedError():
            return UNKNOWN
        case errors.AuthenticationError() | errors.PermissionDeniedError():
            return CREDENTIALS
        case errors.RateLimitError() | errors.QueueFullError() | TimeoutError():
            return LIMIT
        case errors.HTTPStatusError(http_status=429):
            return LIMIT
        case errors.InvalidArgumentError():
            return USAGE
        case _:
            return ERROR


_OPTIONS = (
    ("demo keys need demo=True", "demo keys need --demo"),
    ("live keys need demo=False", "live keys need --no-demo"),
    ("allow_http=True", "--allow-http"),
    ("give Credentials(...), set ", "set "),
    ("base_url ", "--base-url "),
    ("set user_id (or OKX_USER_ID)", "set OKX_USER_ID, or user_id in the profile,"),
)
"""What the library says to programs, and what it means on a command line."""


def in_options(text: str) -> str:
    """``text`` in the words of the command line instead of Python's."""
    text = re.sub(r"\bccy(\[\d+\])? isn't a currency", "this isn't a currency", text)
    text = re.sub(r"\bccy must be one of", "the unit must be one of", text)
    for argument, option in _OPTIONS:
        text = text.replace(argument, option)
    return text


def one_line(text: str) -> str:
    """``text`` in one line and fit for a terminal, whatever a server put into it."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words) or "an error without a message"
