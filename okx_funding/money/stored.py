"""Outcomes as text, for journals."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from okx_funding import errors
from okx_funding.errors import APIError, InvalidArgumentError, OKXError

from .intent import Intent
from .kinds import KINDS, row_type
from .outcome import Done, NotDone


def outcome_to_json(outcome: Done[Any] | NotDone) -> str:
    """One line of JSON; amounts as text, to the last digit."""
    if isinstance(outcome, Done):
        return json.dumps({"done": msgspec.to_builtins(outcome.row)}, separators=(",", ":"))
    error = outcome.error
    told: dict[str, Any] = {"type": type(error).__name__, "safe": error.repeat_is_safe}
    if isinstance(error, APIError):
        told.update(code=error.code, msg=error.msg, http_status=error.http_status)
        told.update(endpoint=error.endpoint)
    else:
        told.update(message=str(error), sent=error.sent)
    return json.dumps({"not done": outcome.reason, "error": told}, separators=(",", ":"))


def outcome_from_json(intent: Intent, text: str) -> Done[Any] | NotDone:
    """What `outcome_to_json` wrote about this intent."""
    try:
        told = json.loads(text)
        if "done" in told:
            row = row_type(KINDS[intent.kind].endpoint)
            return Done(msgspec.convert(told["done"], row, strict=False))
        return NotDone(told["not done"], _error(told["error"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgumentError(
            f"the journal's outcome of {intent.client_id} can't be read: {type(error).__name__}"
        ) from None


def _error(told: dict[str, Any]) -> OKXError:
    kind = getattr(errors, told["type"], OKXError)
    error: OKXError
    if isinstance(kind, type) and issubclass(kind, APIError):
        error = kind(told["code"], told["msg"], told["http_status"], told["endpoint"])
    else:
        kind = kind if isinstance(kind, type) and issubclass(kind, OKXError) else OKXError
        try:
            error = kind(told["message"])
        except TypeError:  # one that needs more than its message
            error = OKXError(told["message"])
        error.sent = told["sent"]
    error.repeat_is_safe = told["safe"]
    return error
