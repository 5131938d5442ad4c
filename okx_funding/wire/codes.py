"""What OKX's error codes mean: which error each of them becomes.

https://www.okx.com/docs-v5/en/#error-code
"""

from __future__ import annotations

from okx_funding.errors import (
    APIError,
    AuthenticationError,
    ClockSkewError,
    InvalidParameterError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
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
        "50001 50004 50005 50013 50026 50046 50062 50064 "
        "58007 58103 58110 58111 58120 58214 58303 58310",
    ),
    (
        InvalidParameterError,
        "50000 50002 50006 50014 50015 50016 50024 50025 50036 50037 50039 50076 50077 50115 "
        "51000 "
        "58005 58006 58009 58010 58113 58114 58115 58123 58127 58128 58129 58202 58206 58213 "
        "58215 58218 58221 58222 58301 58302 58353 58358 58373 58381 58401 58402 58404 58406",
    ),
)
