"""The tree of errors: what happened, whether anything was sent, what to do.

``OKXError.sent`` is True when a request left (or may have left), False when nothing was sent.
No error holds a key, a signature or a passphrase, and every one can be copied and pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okx_funding.money.intent import Intent
    from okx_funding.money.outcome import Outcome


def _rebuild(cls: type[OKXError], args: tuple[Any, ...], state: dict[str, Any]) -> OKXError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class OKXError(Exception):
    """Base of everything that okx_funding raises of its own accord."""

    sent: bool = False
    """True when a request left or may have left; False when nothing was sent."""
    _repeat_is_safe: bool | str | None = "unless sent"

    @property
    def repeat_is_safe(self) -> bool | None:
        """Whether the same may be asked for again: True, False, or None where nobody can know,
        which means: don't.

        True as long as nothing was sent, else None, unless the money protocol knows better. A
        movement of money is asked for again with a client id of its own.
        """
        known = self._repeat_is_safe
        if isinstance(known, str):
            return None if self.sent else True
        return known

    @repeat_is_safe.setter
    def repeat_is_safe(self, value: bool | None) -> None:
        self._repeat_is_safe = value

    def __reduce__(self) -> tuple[Callable[..., OKXError], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidArgumentError(OKXError, ValueError):
    """An argument is unusable. Nothing was sent.

    Where a client id was used before, ``intent`` is the first intent with it and ``outcome`` what
    became of that: Done, NotDone, Unknown, or None while it isn't known. Else both are None.
    """

    intent: Intent | None = None
    outcome: Outcome | None = None


class ClientClosedError(OKXError):
    """The client or its session was closed before this call was answered."""


class QueueFullError(OKXError):
    """More callers wait than ``max_queue`` allows. Nothing was sent for this call."""


class WrongLoopError(OKXError, RuntimeError):
    """Used from another event loop, thread or process than the one it belongs to."""


class DeadlineExceededError(OKXError, TimeoutError):
    """The call's ``timeout`` passed, or can't be met.

    ``estimated_wait`` is the queue's estimate in seconds when the call was refused at once for
    it, else None. ``rows`` holds the rows that were there already, of a call for several keys.
    """

    estimated_wait: float | None = None
    rows: tuple[Any, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        estimated_wait: float | None = None,
        sent: bool = False,
        rows: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(message)
        self.rows = rows
        self.estimated_wait = estimated_wait
        self.sent = sent


class BucketsUnreachableError(DeadlineExceededError):
    """The shared buckets can't be reached, so nothing may be sent. See ``Session(buckets=)``."""


class TransportError(OKXError):
    """No whole answer arrived."""

    sent = True


class ConnectError(TransportError):
    """No connection came about (refused, DNS, TLS, proxy). Nothing was sent."""

    sent = False
    may_pass = True
    """False when trying again can't help: a certificate that isn't trusted."""


class RequestTimeoutError(TransportError, TimeoutError):
    """One attempt on the wire took longer than ``request_timeout``."""


class ProtocolError(TransportError):
    """The connection broke, or what came isn't HTTP: reset, cut short, malformed."""

    stale = False
    """True when a kept-alive connection died before it gave any answer."""


class ResponseTooLargeError(TransportError):
    """The decompressed body passes ``Session(max_body=...)``."""


class OutcomeUnknownError(TransportError):
    """A request that must not be repeated blindly may or may not have taken effect.

    ``intent`` is the movement of money that it is about, to be handed to ``client.resolve``; None
    where a request without one is meant.
    """

    _repeat_is_safe = None

    def __init__(self, message: str = "", *, intent: Intent | None = None) -> None:
        super().__init__(message)
        self.intent = intent


class PushStoppedError(OKXError):
    """OKX ended the WebSocket in a way that coming back can't mend: key, permission or region.

    ``code`` is OKX's error code or the close code, as text; ``bookmark`` where a watch stood, as
    the text that ``since=`` takes.
    """

    def __init__(self, message: str, *, code: str = "", bookmark: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.bookmark = bookmark


class BacklogExceededError(OKXError):
    """More events wait than ``max_backlog`` allows: the consumer of a watch is too slow.

    ``bookmark`` is the text with which ``since=`` goes on without a loss.
    """

    def __init__(self, message: str, *, bookmark: str | None = None) -> None:
        super().__init__(message)
        self.bookmark = bookmark


class ResponseError(OKXError):
    """An answer arrived, but it is no result."""

    sent = True


class HTTPStatusError(ResponseError):
    """An answer that isn't OKX's envelope: HTML of a gateway, a redirect, a bare 429 or 5xx.

    ``http_status`` is the status, ``retry_after`` the seconds the server asked for, or None.
    """

    def __init__(
        self, message: str, *, http_status: int, endpoint: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.endpoint = endpoint
        self.retry_after = retry_after


class DecodeError(ResponseError):
    """The body isn't what OKX documents: broken JSON, a missing field, no decimal."""


class PagingStuckError(ResponseError):
    """The pages of a history lead no further, and going on would leave rows out in silence.

    A full page brought no new row, or its rows aren't in the order that OKX documents. ``moment``
    is the moment in question in milliseconds, ``endpoint`` the method and path. The rows until
    then were given; the iterator's ``cursor`` says how far it came.
    """

    def __init__(self, message: str, *, endpoint: str, moment: int | None = None) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.moment = moment


_ADVICE = {
    "50011": "Too many requests for this User ID: another program may be spending the same limit.",
    "50030": "The API key lacks a permission for this endpoint: check its permissions at OKX.",
    "50035": "This endpoint wants an API key that is bound to an IP address.",
    "50038": "This endpoint isn't available in demo trading.",
    "50053": "This endpoint is only available in demo trading.",
    "50101": (
        "The API key belongs to the other environment: demo keys need demo=True, live keys "
        "demo=False."
    ),
    "50102": (
        "The request's timestamp is more than 30 s off OKX's clock: check this machine's clock."
    ),
    "50105": "The passphrase isn't the one given when the API key was made.",
    "50110": "This machine's IP address isn't on the API key's list: add it at OKX.",
    "50111": "The API key is invalid: check that it was copied whole.",
    "50112": "The request's timestamp is malformed.",
    "50113": "The signature is wrong: check the secret key.",
    "50119": (
        "The API key isn't known on this host: keys of my.okx.com (EEA) belong to "
        "https://eea.okx.com, keys of app.okx.com (US, AU) to https://us.okx.com; set base_url."
    ),
    "58124": "The transfer is being processed: ask transfer-state, and don't send it again.",
    "58129": "Nothing is known by this id; transfer-state wants the transfer's own type, too.",
    "58221": "The address needs its tag or memo: give it as address:tag.",
    "58227": "A non-tradable asset is withdrawn all at once: give the whole balance.",
    "58228": "Withdrawing non-tradable assets needs an API key that is bound to an IP address.",
    "58229": "The fee of a non-tradable asset is paid in USDT from the funding account.",
    "58404": "An earlier request has this client id: look up what became of it.",
    "59500": "Only the API key of the main account may do this.",
    "59504": "Sub-accounts can't withdraw: use an API key of the main account.",
    "59604": "Only the API key of the main account may do this.",
    "50120": "The API key lacks a permission for this endpoint: check its permissions at OKX.",
}


class APIError(ResponseError):
    """OKX answered with an error code: https://www.okx.com/docs-v5/en/#error-code

    ``code`` is OKX's code as text, ``msg`` OKX's text, ``http_status`` the status it came with
    and ``endpoint`` the method and path it answers.
    """

    _advice = ""
    """What to do, where a code has no advice of its own."""

    def __init__(self, code: str, msg: str, http_status: int, endpoint: str) -> None:
        said = f": {msg}" if msg else ""
        advice = _ADVICE.get(code, self._advice)
        advice = f" ({advice})" if advice else ""
        super().__init__(f"{endpoint} answered {code} (HTTP {http_status}){said}{advice}")
        self.code = code
        self.msg = msg
        self.http_status = http_status
        self.endpoint = endpoint


class RateLimitError(APIError):
    """OKX goes on refusing for the rate limit, however long the bucket waits.

    ``retry_after`` is the seconds OKX asked for, or None.
    """

    retry_after: float | None = None


class AuthenticationError(APIError):
    """Key, passphrase, signature or environment is wrong: retrying can't help."""


class PermissionDeniedError(APIError):
    """The API key may not do this, or not from this IP address."""


class ClockSkewError(APIError):
    """The timestamp stays unacceptable although the clock was set by OKX's.

    ``offset`` is OKX's clock less this machine's, in seconds, as measured, or None.
    """

    offset: float | None = None


class InvalidParameterError(APIError):
    """OKX refuses a parameter.

    ``currencies`` names the culprits as far as they are known, and ``rows`` holds the rows of
    the other currencies that the same call asked for.
    """

    def __init__(
        self,
        code: str,
        msg: str,
        http_status: int,
        endpoint: str,
        currencies: tuple[str, ...] = (),
        rows: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(code, msg, http_status, endpoint)
        self.currencies = currencies
        self.rows = rows
        if currencies:
            self.args: tuple[Any, ...] = (f"{self.args[0]} [currencies: {', '.join(currencies)}]",)


class ServiceUnavailableError(APIError):
    """OKX or this endpoint is down for now."""


class NotFoundError(APIError):
    """OKX knows nothing by this id. It is no proof that nothing happened."""

    _advice = "Nothing is known by this id: check it, and the parameters beside it."


class TransferFailedError(APIError):
    """OKX didn't transfer, or gave the money back."""

    _advice = "Look at the balances and the state of the transfer before another one."


class InsufficientFundsError(APIError):
    """The balance doesn't cover the amount, or not its fee."""

    _advice = "Check the available balance of the account that pays, and the fee."


class AddressNotAllowedError(APIError):
    """OKX doesn't withdraw to this address: unverified, malformed, or without its tag."""

    _advice = "Withdrawals go to verified addresses only: add it at OKX, with its tag if any."


class QuotaExceededError(APIError):
    """A quota of OKX's is used up, such as that of a day's withdrawals."""

    _advice = "Ask for less, or wait until the quota is renewed: currencies tells what is left."


class ChainSuspendedError(APIError):
    """The chain, or the currency on it, is under maintenance or delisted."""

    _advice = "Take another chain, or wait: currencies tells which can be used."


class QuoteExpiredError(APIError):
    """The quote can no longer be traded."""

    _advice = "Ask for a new quote and trade it within its ttl_ms."


class AccountRestrictedError(APIError):
    """OKX restricts the account: its verification, region, recent changes, or risk control."""

    _advice = "Log in at OKX and do what it asks for there: trying again doesn't help."


class JournalError(OKXError):
    """The journal of money couldn't do its part, or its record was closed by somebody else.

    Raised before anything was sent, so that nothing is.
    """


class ClientIdReusedError(OKXError):
    """OKX shows a movement under this client id with another currency or amount.

    ``intent`` is the one that was asked about. Nobody can say by this client id whether it took
    place: find out who used the id twice, and compare with the bills.
    """

    sent = True
    _repeat_is_safe = False

    def __init__(self, message: str, *, intent: Intent | None = None) -> None:
        super().__init__(message)
        self.intent = intent


class MovementAbsentError(OKXError):
    """A request may have left, but OKX shows no movement, as long as the rules of absence ask."""

    sent = True
    _repeat_is_safe = True
