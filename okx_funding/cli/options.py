"""From a method's signature to options of a command, and from what was typed to its arguments."""

from __future__ import annotations

import argparse
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin

Kind = Literal["flag", "list", "moment", "moment or id", "number", "pairs", "text"]

_AGO = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII).fullmatch
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PREFIX = "param_"
"""Before the names of parameters in a namespace, apart from the command's own options."""

_HELP = {
    "ccy": "a currency, such as BTC",
    "type": "OKX's number or word for it",
    "after": "rows older than this moment: a date, 7d (ago), or milliseconds",
    "before": "rows newer than this moment",
    "begin": "rows from this moment on",
    "end": "rows up to this moment",
    "limit": "rows, 1 to 100 (100)",
    "since": "walk back to this moment, included: a date, 7d (ago), or milliseconds",
    "until": "begin at this moment, included, instead of now",
    "cursor": "go on where an earlier walk ended",
    "client_id": "your own id: up to 32 letters and digits",
    "from_": "the account it comes from",
    "to": "the account it goes to",
    "amt": "the amount",
    "to_addr": "the address, with :tag behind it where the chain needs one",
    "dest": "4 on chain, 3 to another user of OKX",
    "chain": "such as USDT-ERC20",
    "max_fee": "send nothing where the fee is higher",
    "check": "look whether OKX would take it before anything is sent",
    "rcvr_info": "a field of the recipient's information; may be repeated",
    "rfq_sz": "the amount to convert",
    "rfq_sz_ccy": "the currency of that amount",
    "sub_acct": "a sub-account's name",
    "acknowledge_no_handle": "I know that a lost answer of this one can't be resolved",
    "paging_type": "what --after and --before are: 1 moments, 2 bill ids",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method, as an option of a command."""

    name: str
    kind: Kind
    required: bool
    default: Any = None
    known: tuple[str, ...] = ()
    """The values that OKX documents."""
    closed: bool = False
    """Whether no other value is taken."""

    @property
    def option(self) -> str:
        """How it is typed, such as ``--sub-acct``."""
        return option_of(self.name)

    @property
    def dest(self) -> str:
        """Its attribute in a namespace."""
        return _PREFIX + self.name

    def add_to(self, group: argparse._ActionsContainer, *, positional: bool = False) -> None:
        """Add the option; with ``positional``, a list that is typed without it as well."""
        more: dict[str, Any] = {"dest": self.dest, "help": self._help()}
        if positional:
            group.add_argument(self.dest, nargs="*", metavar=self._metavar, help=more["help"])
            more |= {"dest": f"{self.dest}_also", "help": argparse.SUPPRESS}
        if self.kind == "flag":
            if self.required:
                group.add_argument(self.option, action="store_true", **more)
                return
            more |= {"action": argparse.BooleanOptionalAction, "default": self.default}
            group.add_argument(self.option, **more)
            return
        if self.closed:
            more["choices"] = self.known
        elif self.kind in ("list", "pairs"):
            more["action"] = "append"
            more["metavar"] = "KEY=VALUE" if self.kind == "pairs" else self._metavar
        else:
            more["metavar"] = self._metavar
        if self.kind == "moment":
            more["type"] = moment
        elif self.kind == "number":
            more["type"] = int
        group.add_argument(
            self.option, required=self.required and not positional, default=self.default, **more
        )

    @property
    def _metavar(self) -> str:
        return "CCY" if self.name.endswith("ccy") else self.option.lstrip("-").upper()

    def _help(self) -> str:
        text = _HELP.get(self.name, "")
        if self.known and not self.closed:
            text = f"{text}{': ' * bool(text)}one of {', '.join(self.known)}"
        return text.replace("%", "%%")

    def value(self, args: argparse.Namespace) -> Any:
        """What was typed, as the method takes it; None where nothing was."""
        typed = getattr(args, self.dest)
        if self.kind == "list":
            words = [*(typed or ()), *(getattr(args, f"{self.dest}_also", None) or ())]
            return [part for word in words for part in word.split(",")] or None
        if self.kind == "pairs":
            return dict(word.partition("=")[::2] for word in typed) if typed else None
        if self.kind == "moment or id" and typed is not None:
            by_id = getattr(args, f"{_PREFIX}paging_type", None) == "2"
            return typed if by_id else moment(typed)
        return typed


def parameters_of(method: Callable[..., Any]) -> list[Parameter]:
    """The parameters of ``method``, without ``self`` and what every call takes."""
    hints = typing.get_type_hints(method)
    found = []
    for name, each in inspect.signature(method).parameters.items():
        if name in ("self", "timeout", "journal") or each.kind is each.VAR_KEYWORD:
            continue
        parts = list(_parts(hints[name]))
        known = tuple(str(one) for part in parts if get_origin(part) is Literal
                      for one in get_args(part))  # fmt: skip
        required = each.default is each.empty
        found.append(
            Parameter(
                name,
                _kind(parts),
                required,
                None if required else each.default,
                known,
                closed=bool(known) and all(get_origin(part) is Literal for part in parts),
            )
        )
    return found


def _parts(hint: Any) -> Iterable[Any]:
    """The alternatives of a union, None left out."""
    if get_origin(hint) in (Union, types.UnionType):
        for each in get_args(hint):
            yield from _parts(each)
    elif hint is not type(None):
        yield hint


def _kind(parts: list[Any]) -> Kind:
    origins = {get_origin(part) for part in parts}
    if bool in parts:
        return "flag"
    if datetime in parts:
        return "moment or id" if str in parts else "moment"
    if Mapping in origins:
        return "pairs"
    if Iterable in origins:
        return "list"
    if int in parts and Decimal not in parts:
        return "number"
    return "text"


def option_of(name: str) -> str:
    """A parameter's name as it is typed."""
    return "--" + name.strip("_").replace("_", "-")


def arguments(parameters: Iterable[Parameter], args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the method, as far as something was typed or is set by default."""
    values = {each.name: each.value(args) for each in parameters}
    return {name: value for name, value in values.items() if value is not None}


def in_options(text: str, names: Iterable[str]) -> str:
    """An error of the library about parameters, in the words of the command line."""
    for name in sorted(names, key=len, reverse=True):
        option = option_of(name)
        text = re.sub(rf"(?<![-\w]){name}=(['\"]?)([\w.-]+)\1", rf"{option} \2", text)
        text = re.sub(rf"(?<![-\w]){name}=(?!\w)", option, text)
        where = r"(?<![-\w])" if "_" in name else "^"
        text = re.sub(rf"{where}{name}(\[\d+\])?(?!\w)", option, text)
    return text


def moment(text: str) -> datetime | int:
    """A moment: ``2026-01-01``, ``2026-01-01T12:00Z``, ``7d`` (ago), or milliseconds; UTC."""
    ago = _AGO(text)
    if ago:
        seconds = int(ago[1]) * _UNITS[ago[2]]
        try:
            return datetime.now(UTC) - timedelta(seconds=seconds)
        except OverflowError:
            raise argparse.ArgumentTypeError(f"{text} ago is too long ago") from None
    if text.isascii() and text.isdigit() and len(text) >= 12:
        return int(text)
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a moment such as 2026-01-01, 2026-01-01T12:00Z or 7d (ago), not {text!r}"
        ) from None
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
