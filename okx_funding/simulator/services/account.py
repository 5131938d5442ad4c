"""Beside the funding section: the key's account, and the time."""

from __future__ import annotations

from okx_funding.simulator.answers import Answer, compact, success

from .request import Row, ServiceRequest, service

_PERMISSIONS = {"read": "read_only", "withdraw": "withdraw", "trade": "trade"}


@service("get_account_config")
def account_config(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration"""
    user, key = request.user, request.key
    return [
        {
            "acctLv": "2",
            "acctStpMode": "cancel_maker",
            "autoLoan": False,
            "ctIsoMode": "automatic",
            "enableSpotBorrow": False,
            "feeType": "0",
            "greeksType": "PA",
            "ip": ",".join(sorted(key.ips or ())),
            "kycLv": "3",
            "label": key.label,
            "level": "Lv1",
            "levelTmp": "",
            "liquidationGear": "-1",
            "mainUid": (user.main or user).uid,
            "mgnIsoMode": "automatic",
            "opAuth": "1",
            "perm": perm(key.permissions),
            "posMode": "net_mode",
            "roleType": "0",
            "settleCcy": "USDC",
            "settleCcyList": ["USD", "USDC", "USDG"],
            "spotBorrowAutoRepay": False,
            "spotOffsetType": "",
            "spotRoleType": "0",
            "spotTraderInsts": [],
            "stgyType": "0",
            "traderInsts": [],
            "type": user.type if user.main else "0",
            "uid": user.uid,
        }
    ]


def perm(permissions: set[str]) -> str:
    """Permissions as OKX writes them."""
    return ",".join(name for it, name in _PERMISSIONS.items() if it in permissions)


@service("get_system_time")
def system_time(request: ServiceRequest) -> Answer:
    """https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time"""
    return success(compact({"ts": str(request.milliseconds)}))


@service("get_instruments")
def instruments(_request: ServiceRequest) -> list[Row]:
    """Nothing is traded here. https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments"""
    return []
