"""How OKX's answer to a movement of money is read: by an allow-list of refusals.

A code that isn't listed here never means "not done": a new code of OKX must not be read as a
refusal. The texts of the codes: https://www.okx.com/docs-v5/en/#error-code
"""

from __future__ import annotations

from typing import Literal

from .intent import IntentKind

Reading = Literal["refused", "may go again", "in doubt"]

_TRUSTED_STATUS = frozenset({200, 400, 401, 403, 405, 410, 429})
"""HTTP statuses with which a code of OKX is believed; a 5xx proves nothing."""

CLOCK = "50102"
"""The timestamp is more than 30 s off: refused, and again only with the clock set."""

MAY_GO_AGAIN = frozenset({"50011", "50040", "50061", "58102", CLOCK})
"""Refused for the rate or the timestamp before anything was done: once more is allowed."""

_GENERAL = frozenset(
    """
    50000 50002 50005 50006 50007 50008 50009 50010 50012 50014 50015 50016 50024 50025 50027 50028
    50029 50030 50032 50033 50035 50036 50037 50038 50041 50044 50045 50050 50051 50052 50053 50058
    50059 50060 50072 50075 50100 50101 50103 50104 50105 50106 50107 50108 50109 50110 50111 50112
    50113 50114 50115 50116 50118 50119 50120 50121 50122 51000
    """.split()
)
_TRANSFER = frozenset(
    """
    58004 58006 58008 58009 58010 58011 58012 58015 58016 58100 58101 58103 58104 58105 58106 58107
    58110 58111 58113 58114 58115 58116 58117 58119 58120 58121 58122 58123 58125 58126 58127 58128
    58131 58132 58350 59500 59507 59508 59510 59522 59604 59614 59674 55000
    """.split()
)
_WITHDRAWAL = frozenset(
    """
    58004 58006 58008 58010 58011 58012 58013 58016 58200 58201 58202 58203 58204 58205 58206 58207
    58208 58209 58210 58212 58213 58214 58216 58217 58218 58219 58221 58222 58223 58224 58225 58226
    58227 58228 58229 58230 58231 58232 58233 58234 58235 58236 58237 58238 58239 58240 58241 58242
    58243 58244 58248 58249 58252 58254 58256 58257 58258 58350 59504
    """.split()
)
_FIAT = frozenset("58206 58350 58401 58402 58405 58406 58407 59504".split())
_CONVERT = frozenset(
    """
    52901 52902 52903 52904 52905 52908 52913 52914 52915 52916 52917 52918 52919 52920 52922 52926
    52927 52928 52929 58350 58358 58373 59689
    """.split()
)
_REFUSED: dict[IntentKind, frozenset[str]] = {
    "transfer": _GENERAL | _TRANSFER,
    "subaccount_transfer": _GENERAL | _TRANSFER,
    "withdrawal": _GENERAL | _WITHDRAWAL,
    "fiat_withdrawal": _GENERAL | _FIAT,
    "convert": _GENERAL | _CONVERT,
    "buy_sell": _GENERAL | _FIAT | _CONVERT,
}


def read(kind: IntentKind, code: str, http_status: int) -> Reading:
    """What an answer with an error code proves about a movement of this kind.

    "in doubt" covers codes that leave the outcome open (50004, 58124, ...), codes that prove an
    earlier request with the same client id (50071, 58404, ...), and every code not known here.
    """
    if http_status not in _TRUSTED_STATUS:
        return "in doubt"
    if code in MAY_GO_AGAIN:
        return "may go again"
    return "refused" if code in _REFUSED[kind] else "in doubt"
