"""Every row of the table against what OKX documents."""

from __future__ import annotations

import inspect
import subprocess
import sys

import msgspec
import pytest

import okx_funding.api as api
from okx_funding.api import RateLimit
from okx_funding.api.table import ENDPOINTS, Reads, rate_limits
from okx_funding.errors import InvalidArgumentError

from .support import FACTS, snake

MOVES_MONEY = {
    "funds_transfer",
    "withdrawal",
    "convert_trade",
    "create_fiat_withdrawal",
    "buy_sell_trade",
    "subaccount_transfer",
}
NEVER_REPEATED = {
    "apply_monthly_statement",
    "create_subaccount",
    "create_subaccount_apikey",
    "reset_subaccount_apikey",
    "delete_subaccount_apikey",
}
ONE_STRUCT = {
    "get_asset_valuation",
    "transfer_state",
    "get_account_config",
    "get_system_time",
    "estimate_quote",
    "buy_sell_quote",
    "get_buy_sell_currencies",
    "get_buy_sell_currency_pair",
    "cancel_withdrawal",
    "cancel_fiat_withdrawal",
    "create_subaccount",
    "create_subaccount_apikey",
    "reset_subaccount_apikey",
    "delete_subaccount_apikey",
}
SCOPES = {
    "user": ("user",),
    "ip": ("ip",),
    "user+ccy": ("user", "ccy"),
    "user+side": ("user", "side"),
}
PAIRS = {"estimate_quote": "baseCcy/quoteCcy", "buy_sell_quote": "fromCcy/toCcy"}

each_row = pytest.mark.parametrize("name", ENDPOINTS)


def test_the_table_has_all_endpoints_and_no_other():
    assert ENDPOINTS.keys() == FACTS.keys()
    assert len(ENDPOINTS) == 51


@each_row
def test_method_path_and_page_are_those_of_okx(name):
    endpoint, fact = ENDPOINTS[name], FACTS[name]
    assert (endpoint.method, endpoint.path, endpoint.docs) == (
        fact["method"],
        fact["path"],
        fact["docs"],
    )
    assert endpoint.permission == fact["permission"]


@each_row
def test_the_limits_are_those_of_okx(name):
    expected = []
    for limit in FACTS[name]["limits"]:
        per = ("user", PAIRS[name]) if limit["scope"] == "instrument" else SCOPES[limit["scope"]]
        period = 31 * 86400.0 if limit["period_s"] is None else float(limit["period_s"])
        expected.append(RateLimit(limit["count"], period, per))
    assert list(ENDPOINTS[name].limits) == expected


def test_only_the_months_quota_is_never_waited_out():
    assert [
        each.name for each in ENDPOINTS.values() if any(limit.is_quota for limit in each.limits)
    ] == ["apply_monthly_statement"]


def test_a_pair_counts_the_same_from_both_sides():
    _, pair = ENDPOINTS["estimate_quote"].limits
    assert pair.values({"baseCcy": "BTC", "quoteCcy": "USDT"}) == pair.values(
        {"baseCcy": "USDT", "quoteCcy": "BTC"}
    )


@each_row
def test_reads_are_shared_and_repeated_and_posts_are_not_shared(name):
    endpoint = ENDPOINTS[name]
    assert endpoint.shared == (endpoint.method == "GET")
    if endpoint.method == "GET":
        assert endpoint.repeatable
    if name in MOVES_MONEY | NEVER_REPEATED:
        assert not endpoint.repeatable
    assert endpoint.moves_money == (name in MOVES_MONEY)


@each_row
def test_what_may_be_repeated_is_harmless_twice(name):
    if ENDPOINTS[name].repeatable:
        assert FACTS[name]["repeat_is_safe"] == "yes"


@each_row
def test_a_comma_list_of_currencies_is_shared_by_callers(name):
    lists = {
        each["name"]: each.get("maximum", 20)
        for each in FACTS[name]["params"]
        if each.get("list") == "comma" and each["name"] == "ccy"
    }
    endpoint = ENDPOINTS[name]
    assert endpoint.batch_by == next(iter(lists), None)
    assert endpoint.batch_size == lists.get("ccy", 1)
    assert all(endpoint.batch_by not in limit.per for limit in endpoint.limits)


def _fields(struct, prefix=""):
    for field in msgspec.structs.fields(struct):
        yield prefix + field.encode_name
        for kind in [field.type, *getattr(field.type, "__args__", ())]:
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from _fields(kind, f"{field.encode_name}.")


@each_row
def test_the_struct_has_each_documented_field_and_no_other(name):
    documented = {
        f"{each['of']}.{each['name']}" if "of" in each else each["name"]
        for each in FACTS[name]["fields"]
    }
    pushed = {"uid", "subAcct", "pTime", "bookmark"}  # of the channels that push the same rows
    own = {
        "get_deposit_history": pushed,
        "get_withdrawal_history": pushed,
        "get_asset_valuation": {"ccy"},  # ours: the unit that was asked for
        "get_convert_history": {"quoteId"},  # one struct for the POST's answer and the history
        "buy_sell_trade": {"uTime"},
        "get_subaccount_apikeys": {"subAcct"},  # one struct for the list and the reset
    }.get(name, set())
    assert set(_fields(ENDPOINTS[name].row)) == documented | own


@each_row
def test_what_may_be_missing_may_be_missing(name):
    optional = {
        each["name"]
        for each in FACTS[name]["fields"]
        if each.get("may_be_absent") or each.get("absent_in_sample")
    }
    for field in msgspec.structs.fields(ENDPOINTS[name].row):
        if field.encode_name in optional:
            assert not field.required, field.encode_name


@each_row
def test_fields_are_spelt_with_a_word_for_each_capital(name):
    for field in msgspec.structs.fields(ENDPOINTS[name].row):
        assert field.name == snake(field.encode_name)


@each_row
def test_struct_and_method_link_okx_page(name):
    endpoint = ENDPOINTS[name]
    assert "https://www.okx.com/docs-v5/en/#" in (endpoint.row.__doc__ or "")
    if not endpoint.moves_money:
        assert endpoint.docs in getattr(Reads, name).__doc__


@each_row
def test_what_moves_money_has_no_method_here(name):
    assert hasattr(Reads, name) == (name not in MOVES_MONEY)


@each_row
def test_methods_take_okx_parameters_in_snake_case(name):
    if name in MOVES_MONEY:
        return
    parameters = list(inspect.signature(getattr(Reads, name)).parameters)
    assert sorted(parameters[1:-1]) == sorted(snake(each["name"]) for each in FACTS[name]["params"])
    assert parameters[-1] == "options"


@each_row
def test_one_struct_comes_where_okx_answers_one_row(name):
    if name in MOVES_MONEY:
        return
    endpoint = ENDPOINTS[name]
    row = endpoint.row.__name__
    expected = row if name in ONE_STRUCT else f"list[{row}]"
    assert inspect.signature(getattr(Reads, name)).return_annotation == expected
    assert not FACTS[name]["one_row"] or name in ONE_STRUCT


@each_row
def test_what_is_paged_has_an_iterator(name):
    walk = "iter_" + name.removeprefix("get_")
    assert hasattr(Reads, walk) == FACTS[name]["paging"]


def test_sections_have_at_most_twenty_methods():
    for section in Reads.__bases__:
        methods = [name for name in vars(section) if not name.startswith("_")]
        assert 0 < len(methods) <= 20


def test_commands_are_told_apart_by_path_and_method():
    commands = {(each.method, each.command) for each in ENDPOINTS.values()}
    assert len(commands) == len(ENDPOINTS)


def test_rate_limits_know_all_rows():
    limits = dict.fromkeys(ENDPOINTS, RateLimit(1))
    assert rate_limits(limits) == limits
    with pytest.raises(InvalidArgumentError, match="rate_limits knows no 'get_bill'"):
        rate_limits({"get_bill": RateLimit(1)})
    with pytest.raises(InvalidArgumentError, match=r"rate_limits\['get_bills'\] must be"):
        rate_limits({"get_bills": 3})  # type: ignore[dict-item]


def test_every_public_name_can_be_had():
    for name in api.__all__:
        assert getattr(api, name) is not None
    assert set(api.__all__) <= set(dir(api))
    with pytest.raises(AttributeError, match="Bll"):
        getattr(api, "Bll")  # noqa: B009


def test_the_package_loads_no_section_by_itself():
    code = (
        "import sys, okx_funding.api; "
        "print([name for name in sys.modules if name.startswith('okx_funding.api.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
