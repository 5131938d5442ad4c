"""What the WebSocket service says: errors, reasons of close frames, rows of pushes.

https://www.okx.com/docs-v5/en/#error-code-websocket
"""

from __future__ import annotations

import json
from typing import Any

from .records import Deposit, Row, Withdrawal

ERRORS = {
    "60004": "Invalid timestamp",
    "60005": "Invalid apiKey",
    "60006": "Timestamp request expired",
    "60007": "Invalid sign",
    "60009": "Login failed.",
    "60011": "Please log in",
    "60012": "Invalid request: {text}",
    "60013": "Invalid args",
    "60014": "Requests too frequent",
    "60018": "Wrong URL or channel:{text} doesn't exist. Please use the correct URL, channel and"
    " parameters referring to API document.",
    "60024": "Wrong passphrase",
    "60031": "The WebSocket endpoint does not allow multiple or repeated logins.",
    "60032": "API key doesn't exist",
    "63999": "Internal system error. Please try again later.",
    "64007": "Operation failed through WebSocket due to internal error. Please try again later.",
}
NOTICE_TEXT = "The connection will soon be closed for a service upgrade. Please reconnect."
CLOSE_REASONS = {
    4001: "Login Failed",
    4002: "Invalid Request",
    4003: "APIKey subscription amount exceeds the limit 100",
    4004: "No data received in 30s",
    4005: "Buffer is full, cannot write data",
    4006: "Abnormal disconnection",
    4007: "API key has been updated or deleted. Please reconnect.",
    4008: "The number of subscribed channels exceeds the maximum limit.",
    4009: "The number of subscription channels for this connection exceeds the limit",
}


def push_row(record: Deposit | Withdrawal, sub_acct: str, p_time: int) -> Row:
    """The row of a push: that of the history, and what only pushes have."""
    row = record.row() | {"pTime": str(p_time), "subAcct": sub_acct, "uid": record.user_id}
    if isinstance(record, Withdrawal):
        row = {"addrEx": None, "memo": "", "pmtId": "", "tag": ""} | row
    return row


def to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
