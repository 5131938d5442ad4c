"""What OKX's error codes mean: which error each of them becomes.

https://www.okx.com/docs-v5/en/#error-code

The kinds tell people what to do. Whether money moved is decided by a list of its own.
"""

from __future__ import annotations

from okx_funding.errors import (
    AccountRestrictedError,
    AddressNotAllowedError,
    APIError,
    AuthenticationError,
    ChainSuspendedError,
    ClockSkewError,
    InsufficientFundsError,
    InvalidParameterError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    QuoteExpiredError,
    RateLimitError,
    ServiceUnavailableError,
    TransferFailedError,
)


def _table(*kinds: tuple[type[APIError], str]) -> dict[str, type[APIError]]:
    return {code: kind for kind, codes in kinds for code in codes.split()}


# https://www.okx.com/docs-v5/en/#error-code-rest-api-api-class-public
ERROR_OF_CODE: dict[str, type[APIError]] = _table(
    (RateLimitError, "50011 50040 50061 58102"),
    (ClockSkewError, "50102"),
    (
        AuthenticationError,
        "50100 50101 50103 50104 50105 50106 50107 50108 50109 50111 50112 50113 50114 50119",
    ),
    (PermissionDeniedError, "50030 50035 50110 50120 50121"),
    (
        ServiceUnavailableError,
        "50001 50004 50005 50013 50026 50046 50062 50064 58007 58103 58110 58111 58120 58310",
    ),
    (
        InvalidParameterError,
        "50000 50002 50006 50014 50015 50016 50024 50025 50036 50037 50039 50076 50077 50115 "
        "51000 "
        "58005 58006 58009 58010 58113 58114 58115 58123 58127 58128 58202 58206 "
        "58301 58302 58353 58358 58373 58381 58401 58402 58406",
    ),
    (NotFoundError, "58129 58215"),
    (TransferFailedError, "58015 58112 58121 58122"),
    (InsufficientFundsError, "58008 58116 58117 58229 58350"),
    (AddressNotAllowedError, "58203 58207 58213 58218 58221 58222 58224 58239 58254"),
    (QuotaExceededError, "58201 58205 58256 58257 58258 58300 58354"),
    (ChainSuspendedError, "58214 58226 58303"),
    (QuoteExpiredError, "52922"),
    (
        AccountRestrictedError,
        "58004 58011 58012 58013 58014 58016 58100 58101 58104 58105 58106 58107 58131 58132 "
        "58204 58208 58210 58217 58219 58225 58230 58231 58232 58233 58234 58235 58236 58237 "
        "58238 58240 58241 58242 58243 58244 58248 58249 58252 58305 58306 58307 58308 58309 "
        "58355 58384",
    ),
)
