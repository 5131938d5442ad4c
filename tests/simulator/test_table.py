"""The exchange's table against what OKX's pages say, which is kept in documented.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from okx_funding.simulator.services import SERVICES
from okx_funding.simulator.table import EXTRA, MONTH, ROUTES

DOCUMENTED = json.loads(Path(__file__).with_name("documented.json").read_text())
KEYS = ("clientId", "clTReqId", "clQReqId", "clOrdId")


def facts(row):
    return DOCUMENTED[row.name]


every_row = pytest.mark.parametrize("row", ROUTES, ids=lambda row: row.name)


def test_all_51_endpoints_are_there_and_served():
    assert len(ROUTES) == len(DOCUMENTED) == 51
    assert {row.name for row in ROUTES} == set(DOCUMENTED)
    assert {row.name for row in (*ROUTES, *EXTRA)} == set(SERVICES)


@every_row
def test_method_path_and_permission(row):
    said = facts(row)
    assert (row.method, row.path, row.permission) == (
        said["method"],
        said["path"],
        said["permission"],
    )


@every_row
def test_limits_and_whom_they_count(row):
    scopes = {
        "user": ("user",),
        "ip": ("ip",),
        "user+ccy": ("user", "ccy"),
        "user+side": ("user", "side"),
    }
    for limit, (count, period, scope) in zip(row.limits, facts(row)["limits"], strict=True):
        assert (limit.count, limit.period) == (count, period or MONTH)
        if scope == "instrument":
            assert limit.per in [("user", "baseCcy/quoteCcy"), ("user", "fromCcy/toCcy")]
        else:
            assert limit.per == scopes[scope]


@every_row
def test_names_of_parameters_which_are_required_and_their_values(row):
    said = facts(row)["params"]
    assert set(row.params) == set(said)
    for name, (required, *allowed) in said.items():
        param = row.params[name]
        assert param.required == (required == "Yes"), name
        assert (param.kind == "id") == (name in KEYS), name
        if param.kind != "flag" and name not in ("perm", "ccy", "thirdPartyType"):
            assert param.allowed == frozenset(allowed[0].split("|") if allowed else ()), name


@every_row
def test_lists_have_their_length(row):
    for name, most in facts(row)["lists"].items():
        assert row.params[name].most == (most or 1000)
