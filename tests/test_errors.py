"""The tree of errors: its shape, and what every error can."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import okx_funding
from okx_funding import (
    AccountRestrictedError,
    AddressNotAllowedError,
    APIError,
    AuthenticationError,
    BucketsUnreachableError,
    ChainSuspendedError,
    ClientClosedError,
    ClockSkewError,
    ConnectError,
    DeadlineExceededError,
    DecodeError,
    HTTPStatusError,
    InsufficientFundsError,
    InvalidArgumentError,
    InvalidParameterError,
    NotFoundError,
    OKXError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ProtocolError,
    QueueFullError,
    QuotaExceededError,
    QuoteExpiredError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    ResponseTooLargeError,
    ServiceUnavailableError,
    TransferFailedError,
    TransportError,
    WrongLoopError,
)
from okx_funding.wire.codes import ERROR_OF_CODE

PARENTS = {
    OKXError: Exception,
    InvalidArgumentError: (OKXError, ValueError),
    ClientClosedError: OKXError,
    QueueFullError: OKXError,
    WrongLoopError: (OKXError, RuntimeError),
    DeadlineExceededError: (OKXError, TimeoutError),
    BucketsUnreachableError: DeadlineExceededError,
    TransportError: OKXError,
    ConnectError: TransportError,
    RequestTimeoutError: (TransportError, TimeoutError),
    ProtocolError: TransportError,
    ResponseTooLargeError: TransportError,
    OutcomeUnknownError: TransportError,
    ResponseError: OKXError,
    HTTPStatusError: ResponseError,
    DecodeError: ResponseError,
    APIError: ResponseError,
    RateLimitError: APIError,
    AuthenticationError: APIError,
    PermissionDeniedError: APIError,
    ClockSkewError: APIError,
    InvalidParameterError: APIError,
    ServiceUnavailableError: APIError,
    AccountRestrictedError: APIError,
    AddressNotAllowedError: APIError,
    ChainSuspendedError: APIError,
    InsufficientFundsError: APIError,
    NotFoundError: APIError,
    QuotaExceededError: APIError,
    QuoteExpiredError: APIError,
    TransferFailedError: APIError,
}

SAID = ("51000", "Parameter ccy error", 400, "GET /x")


def made(kind):
    """One of the kind, with something in each of its attributes."""
    if issubclass(kind, InvalidParameterError):
        return kind(*SAID, currencies=("X", "Y"), rows=("row",))
    if issubclass(kind, APIError):
        return kind(*SAID)
    if kind is HTTPStatusError:
        return kind("text", http_status=503, endpoint="GET /x", retry_after=7.0)
    if issubclass(kind, DeadlineExceededError):
        return kind("text", estimated_wait=3.5, sent=True)
    return kind("text")


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_the_tree_is_as_promised(kind):
    parents = PARENTS[kind]
    assert kind.__bases__ == (parents if isinstance(parents, tuple) else (parents,))
    assert getattr(okx_funding, kind.__name__) is kind


def test_the_tree_has_no_other_branch():
    exported = {
        each
        for each in vars(okx_funding).values()
        if inspect.isclass(each) and issubclass(each, Exception)
    }
    assert exported == set(PARENTS)


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_an_error_survives_copying_and_pickling_with_all_it_knows(kind, twin):
    error = made(kind)
    other = twin(error)
    assert type(other) is kind
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
    assert other.sent == error.sent


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_an_error_tells_whether_anything_was_sent(kind):
    by_default = {
        **dict.fromkeys(PARENTS, False),
        **{each: True for each in PARENTS if issubclass(each, TransportError | ResponseError)},
        ConnectError: False,
        DeadlineExceededError: True,  # told so in made()
        BucketsUnreachableError: True,
    }
    assert made(kind).sent is by_default[kind]


def test_an_api_error_tells_code_message_status_and_endpoint():
    error = APIError(*SAID)
    assert (error.code, error.msg, error.http_status, error.endpoint) == SAID
    assert str(error) == "GET /x answered 51000 (HTTP 400): Parameter ccy error"


def test_an_invalid_parameter_names_the_currencies():
    error = made(InvalidParameterError)
    assert error.currencies == ("X", "Y")
    assert "X, Y" in str(error)


def test_a_deadline_knows_the_queue():
    error = made(DeadlineExceededError)
    assert (error.estimated_wait, error.sent) == (3.5, True)
    assert DeadlineExceededError("text").estimated_wait is None


@pytest.mark.parametrize("code", sorted(ERROR_OF_CODE))
def test_the_table_of_codes_is_of_codes(code):
    assert code.isdecimal()
    assert len(code) == 5
    assert issubclass(ERROR_OF_CODE[code], APIError)


@pytest.mark.parametrize("kind", [each for each in PARENTS if PARENTS[each] is APIError])
def test_every_kind_about_money_says_what_to_do(kind):
    advice = kind._advice
    general = {"RateLimitError", "AuthenticationError", "PermissionDeniedError", "ClockSkewError"}
    general |= {"InvalidParameterError", "ServiceUnavailableError"}
    assert bool(advice) is (kind.__name__ not in general)
    assert advice in str(kind("59999", "Words.", 200, "POST /x"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("58404", APIError), ("58129", NotFoundError), ("58215", NotFoundError),
        ("58112", TransferFailedError), ("58350", InsufficientFundsError),
        ("58207", AddressNotAllowedError), ("58203", AddressNotAllowedError),
        ("58201", QuotaExceededError), ("58214", ChainSuspendedError),
        ("52922", QuoteExpiredError), ("58219", AccountRestrictedError),
    ],
)  # fmt: skip
def test_what_codes_about_money_mean(code, kind):
    assert ERROR_OF_CODE.get(code, APIError) is kind


def test_a_client_id_that_exists_is_no_wrong_parameter():
    assert "look up what became of it" in str(APIError("58404", "", 200, "POST /x"))
