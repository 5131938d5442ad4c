"""For tests of programs that use okx_funding: fixtures for pytest, a transport without a network.

`fixtures` and `asynchronous` say what there is, docs/testing-your-bot.md how to use it. The
fixtures are found without being named.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okx_funding.wire.response import Response

    from .fake_transport import FakeTransport, SentRequest
    from .fields import FieldReport, unknown_fields

__all__ = ["FakeTransport", "FieldReport", "Response", "SentRequest", "unknown_fields"]

_FIELDS = ("FieldReport", "unknown_fields")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:  # pytest's plugin does without the wire
        if name in __all__:
            home = ".fields" if name in _FIELDS else ".fake_transport"
            module = importlib.import_module(home, __name__)
            return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
