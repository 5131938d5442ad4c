"""What tells the kinds of movement apart: endpoints, ids, states, and how OKX says "not found".

https://www.okx.com/docs-v5/en/#funding-account-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec

from okx_funding.api.table import ENDPOINTS

from .intent import Intent, IntentKind

State = Literal["done", "failed", "pending"]

_MINUTE = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of movement. Rows have attributes in snake_case, bodies OKX's names."""

    name: IntentKind
    endpoint: str
    """The name of the POST that moves money, in ``ENDPOINTS``."""
    id_of: str
    """The attribute that holds OKX's id, such as ``trans_id``."""
    look_up: str
    """The endpoint that shows it by the client id."""
    states: Mapping[str, State]
    """What its states mean; a state that isn't known is "pending"."""
    handle: str | None = "client_id"
    """The attribute of rows that holds our client id; None where OKX takes none."""
    handle_field: str = "clientId"
    exists_is_done: bool = False
    """Whether it is Done as soon as it exists, whatever state it will go through."""
    same: tuple[tuple[str, str], ...] = (("ccy", "ccy"),)
    """Attributes of a row, and fields of the body that they must equal."""
    not_found: frozenset[str] = frozenset()
    """The codes by which the look-up says that it knows no such movement."""
    has_bills: bool = False
    """Whether its bills carry the client id."""
    absence_proves_after: float | None = None
    """Seconds after the stamp (after the quote's end, where there is a quote) from which absence
    is taken for proof; None means never."""
    lane: tuple[str, ...] = ("ccy",)
    """The fields of the body that its lane is named after."""

    def lane_of(self, intent: Intent) -> str:
        """Movements of one lane go one at a time."""
        body = intent.body
        return "/".join(sorted(str(body[name]).upper() for name in self.lane))

    def state_of(self, row: Any) -> State:
        """How far it is, by a row of its look-up, or of the answer where that has a state."""
        state = self.states.get(getattr(row, "state", None) or "", "pending")
        return "done" if state == "pending" and self.exists_is_done else state

    def difference(self, intent: Intent, row: Any) -> str | None:
        """What ``row`` shows instead of what ``intent`` asked for; None if they agree."""
        body = intent.body
        for attribute, name in self.same:
            shown = getattr(row, attribute, None)
            if shown is not None and str(shown).upper() != str(body[name]).upper():
                return f"{attribute} {shown} instead of {body[name]}"
        for attribute, asked in _amounts(self.name, body):
            shown = getattr(row, attribute, None)
            if shown is not None and Decimal(shown) != asked:
                return f"{attribute} {shown} instead of {asked}"
        return None

    def answer_row(self, intent: Intent, found: Any) -> Any:
        """The row that the POST would have answered, filled from what a look-up shows."""
        body = intent.body
        values: dict[str, Any] = {}
        kind = row_type(self.endpoint)
        for field in msgspec.structs.fields(kind):
            value = getattr(found, field.name, None)
            if value in (None, "") and (asked := body.get(field.encode_name)) is not None:
                value = Decimal(asked) if Decimal in (field.type, *get_args(field.type)) else asked
            values[field.name] = value
        return kind(**values)


def _amounts(kind: IntentKind, body: dict[str, Any]) -> list[tuple[str, Decimal]]:
    """Which attribute of a row must hold which amount."""
    if kind == "convert":
        in_base = body["szCcy"].upper() == body["baseCcy"].upper()
        return [("fill_base_sz" if in_base else "fill_quote_sz", Decimal(body["sz"]))]
    if kind == "buy_sell":
        return [("rfq_amt", Decimal(body["rfqAmt"]))]
    return [("amt", Decimal(body["amt"]))]


def row_type(endpoint: str) -> type[Any]:
    """The struct of an endpoint's rows."""
    return ENDPOINTS[endpoint].row


_TRANSFER_STATES: dict[str, State] = {"success": "done", "failed": "failed"}

KINDS: dict[IntentKind, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "transfer",
            "funds_transfer",
            "trans_id",
            "transfer_state",
            _TRANSFER_STATES,
            not_found=frozenset({"58129", "51000"}),
            has_bills=True,
            absence_proves_after=15 * _MINUTE,
        ),
        Kind(
            "withdrawal",
            "withdrawal",
            "wd_id",
            "get_withdrawal_history",
            {"-1": "failed", "-2": "failed"},
            exists_is_done=True,
            not_found=frozenset({"58215", "58129", "51000"}),
            has_bills=True,
        ),
        Kind(
            "convert",
            "convert_trade",
            "trade_id",
            "get_convert_history",
            {"fullyFilled": "done", "rejected": "failed"},
            handle="cl_t_req_id",
            handle_field="clTReqId",
            same=(("base_ccy", "baseCcy"), ("quote_ccy", "quoteCcy"), ("side", "side")),
            not_found=frozenset({"52907"}),
            absence_proves_after=_MINUTE,
            lane=("baseCcy", "quoteCcy"),
        ),
        Kind(
            "fiat_withdrawal",
            "create_fiat_withdrawal",
            "ord_id",
            "get_fiat_withdrawal_history",
            {"failed": "failed", "canceled": "failed"},
            exists_is_done=True,
        ),
        Kind(
            "buy_sell",
            "buy_sell_trade",
            "ord_id",
            "get_buy_sell_history",
            {"completed": "done", "failed": "failed"},
            handle="cl_ord_id",
            handle_field="clOrdId",
            same=(("from_ccy", "fromCcy"), ("to_ccy", "toCcy"), ("rfq_ccy", "rfqCcy")),
            lane=("fromCcy", "toCcy"),
        ),
        Kind(
            "subaccount_transfer",
            "subaccount_transfer",
            "trans_id",
            "transfer_state",
            _TRANSFER_STATES,
            handle=None,
            not_found=frozenset({"58129", "51000"}),
        ),
    )
}
