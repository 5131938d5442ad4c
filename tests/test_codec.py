"""Rows of every shape that OKX documents: exact, no name twice, and cheap when OKX adds a field."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding.api.spec import Row
from okx_funding.wire.codec import Codec


class Account(Row, frozen=True):
    acct_num: str
    max_amt: Decimal | None
    state: str = "1"


class Limits(Row, frozen=True):
    daily: Decimal
    weekly: Decimal | None = None


class Method(Row, frozen=True):
    ccy: str
    fee_rate: Decimal
    c_time: int
    enabled: bool
    limits: Limits
    accounts: list[Account]
    from_: str = msgspec.field(name="from")
    g_auth: bool | None = None
    wd_tick_sz: int | None = None
    tag: str = ""
    min_fee: Decimal | None = None
    steps: list[Decimal] = msgspec.field(default_factory=list)
    names: list[str] | None = None
    addr_ex: dict[str, str] | None = None
    spare: Limits | None = None


def account(**changes: Any) -> dict[str, Any]:
    return {"acctNum": "1", "maxAmt": "5", "state": "2", **changes}


def told(**changes: Any) -> dict[str, Any]:
    whole = {
        "ccy": "TRY", "feeRate": "0.01", "cTime": "1700000000000", "enabled": True,
        "limits": {"daily": "1", "weekly": "2"}, "accounts": [account(), account(acctNum="2")],
        "from": "6", "gAuth": False, "wdTickSz": "8", "tag": "t", "minFee": "0.1",
        "steps": ["1", "2.5"], "names": ["a", "b"], "addrEx": {"comment": "x"},
        "spare": {"daily": "3", "weekly": ""},
    }  # fmt: skip
    whole.update(changes)
    return {name: value for name, value in whole.items() if value != "left out"}


def body(*rows: Any, **top: Any) -> bytes:
    return json.dumps(
        {"code": "0", "msg": "", "data": list(rows), **top}, separators=(",", ":")
    ).encode()


def decoded(codec: Codec, answer: bytes) -> list[Any]:
    rows = codec.rows(answer)
    return codec.look(answer) if rows is None else rows


def one(**changes: Any) -> Any:
    (row,) = decoded(Codec(Method), body(told(**changes)))
    return row


REFUSED = (ValueError, msgspec.MsgspecError)


# -- every kind of field -----------------------------------------------------------------------


def test_a_row_of_every_kind_becomes_this_struct():
    assert one() == Method(
        ccy="TRY",
        fee_rate=Decimal("0.01"),
        c_time=1_700_000_000_000,
        enabled=True,
        limits=Limits(Decimal(1), Decimal(2)),
        accounts=[Account("1", Decimal(5), "2"), Account("2", Decimal(5), "2")],
        from_="6",
        g_auth=False,
        wd_tick_sz=8,
        tag="t",
        min_fee=Decimal("0.1"),
        steps=[Decimal(1), Decimal("2.5")],
        names=["a", "b"],
        addr_ex={"comment": "x"},
        spare=Limits(Decimal(3), None),
    )


@pytest.mark.parametrize(
    ("name", "attribute", "default"),
    [
        ("gAuth", "g_auth", None), ("wdTickSz", "wd_tick_sz", None), ("tag", "tag", ""),
        ("minFee", "min_fee", None), ("steps", "steps", []), ("names", "names", None),
        ("addrEx", "addr_ex", None), ("spare", "spare", None),
    ],
)  # fmt: skip
def test_what_may_be_missing_has_its_default(name, attribute, default):
    assert getattr(one(**{name: "left out"}), attribute) == default


@pytest.mark.parametrize("name", ["gAuth", "wdTickSz", "minFee", "names", "addrEx", "spare"])
def test_what_may_be_none_may_be_null(name):
    one(**{name: None})


@pytest.mark.parametrize("name", ["ccy", "feeRate", "cTime", "enabled", "limits", "accounts"])
@pytest.mark.parametrize("absence", ["left out", None])
def test_what_must_be_there_must_be_there(name, absence):
    with pytest.raises(REFUSED, match=name):
        one(**{name: absence})


@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_boolean_may_come_as_text(flag):
    row = one(enabled=flag, gAuth=flag)
    assert row.enabled is row.g_auth is (flag == "true")


@pytest.mark.parametrize("flag", ["TRUE", "1", "", 1, 0])
def test_nothing_else_is_a_boolean(flag):
    with pytest.raises(REFUSED):
        one(enabled=flag)


def test_a_whole_number_may_come_as_a_number():
    row = one(cTime=5, wdTickSz=7)
    assert (row.c_time, row.wd_tick_sz) == (5, 7)


NO_AMOUNTS = ["NaN", "Infinity", "1_000", " 1", "1 ", ".5", "5.", "1e5", "+1", "\u0661", "9" * 200]


@pytest.mark.parametrize("text", NO_AMOUNTS)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (lambda text: {"feeRate": text}, "feeRate"),
        (lambda text: {"minFee": text}, "minFee"),
        (lambda text: {"limits": {"daily": text}}, "limits: daily"),
        (lambda text: {"spare": {"daily": "1", "weekly": text}}, "spare: weekly"),
        (lambda text: {"accounts": [account(), account(maxAmt=text)]}, "accounts: maxAmt"),
        (lambda text: {"steps": ["1", text]}, "steps"),
    ],
)  # fmt: skip
def test_no_amount_anywhere_is_anything_but_a_plain_decimal(place, name, text):
    with pytest.raises(ValueError, match=name):
        one(**place(text))


@pytest.mark.parametrize("amount", ["", None, 5, 5.5, True])
def test_an_element_of_a_list_of_amounts_must_be_one(amount):
    with pytest.raises(REFUSED):
        one(steps=["1", amount])


@pytest.mark.parametrize(
    "kind",
    [
        float, list, dict[str, int], str | int, Any, list[bool], list[list[str]],
        list[str | None], list[Account | None],
    ],
)  # fmt: skip
def test_a_struct_that_no_text_can_fill_is_refused_when_it_is_first_used(kind):
    odd = msgspec.defstruct("Odd", [("amt", kind)], bases=(Row,), frozen=True)
    with pytest.raises((TypeError, IndexError)):
        Codec(odd)


# -- no name twice -----------------------------------------------------------------------------

TWICE = {
    "a field": (b'"ccy":"TRY"', b'"ccy":"TRY","ccy":"USD"'),
    "a flag": (b'"enabled":true', b'"enabled":true,"enabled":false'),
    "in a nested row": (b'"daily":"1"', b'"daily":"1","daily":"9"'),
    "in a list": (b'"acctNum":"2"', b'"acctNum":"2","acctNum":"3"'),
    "in a dict": (b'"comment":"x"', b'"comment":"x","comment":"y"'),
    "spelt with an escape": (b'"ccy":"TRY"', rb'"ccy":"TRY","\u0063cy":"USD"'),
    "with white space": (b'"ccy":"TRY"', b'"ccy" : "TRY", "ccy" :\t"USD"'),
    "at the top": (b'"code":"0"', b'"code":"1","code":"0"'),
    "within what nobody knows": (b'"ccy":"TRY"', b'"ccy":"TRY","new":[{"a":1,"a":2}]'),
    "nobody's name": (b'"ccy":"TRY"', b'"ccy":"TRY","new":"1","new":"2"'),
}


@pytest.mark.parametrize(("once", "twice"), TWICE.values(), ids=TWICE)
@pytest.mark.parametrize(
    "lacking", [{}, {"tag": "left out"}, {"minFee": None}, {"gAuth": "left out", "names": None}]
)
def test_a_name_that_stands_twice_is_refused_whatever_else_is_missing(once, twice, lacking):
    codec = Codec(Method)
    fine = body(told(**lacking), told())
    decoded(codec, fine)
    decoded(codec, body(told(new=[{"a": 1}])))
    assert decoded(codec, fine)
    odd = fine.replace(once, twice, 1)
    assert odd != fine
    with pytest.raises(REFUSED, match="stands twice"):
        decoded(codec, odd)


@settings(max_examples=60)
@given(st.data())
def test_of_any_answers_those_with_a_name_twice_are_refused_and_no_others(data):
    codec = Codec(Method)
    optional = ["gAuth", "wdTickSz", "tag", "minFee", "steps", "names", "addrEx", "spare"]
    nulls = ["gAuth", "wdTickSz", "minFee", "names", "addrEx", "spare"]
    texts = st.sampled_from(["t", "", 'a "quoted" one', "back\\slash", '":', "\u00e9"])
    for _ in range(data.draw(st.integers(1, 4))):
        rows = []
        for _ in range(data.draw(st.integers(0, 3))):
            left_out = data.draw(st.sets(st.sampled_from(optional)))
            null = data.draw(st.sets(st.sampled_from(nulls)))
            new = data.draw(st.dictionaries(st.sampled_from(["n1", "n2"]), st.none() | texts))
            changes = {"ccy": data.draw(texts), **dict.fromkeys(null)}
            rows.append(told(**changes, **new, **dict.fromkeys(left_out - null, "left out")))
        top = data.draw(st.sampled_from([{}, {"inTime": "1"}, {"inTime": "1", "outTime": 2}]))
        answer = body(*rows, **top)
        found = decoded(codec, answer)
        assert [row.ccy for row in found] == [each["ccy"] for each in rows]
        assert found == Codec(Method).look(answer)
        names = [b'"ccy":', b'"enabled":', b'"daily":', b'"n1":', b'"code":', b'"state":']
        name = data.draw(st.sampled_from(names))
        odd = answer.replace(name, name + b'"1",' + name, 1)
        if odd != answer:
            with pytest.raises(REFUSED):
                decoded(codec, odd)


# -- what OKX adds -----------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch):
    """How many answers Python had to look at."""
    seen: list[bytes] = []
    loads = json.loads

    def counted(answer, **options):
        seen.append(answer)
        return loads(answer, **options)

    monkeypatch.setattr("json.loads", counted)
    return seen


ADDED = {
    "in rows": body(told(new="1"), told(new="2")),
    "in some rows": body(told(new="1"), told(), told(newer=["b"])),
    "in nested rows": body(told(limits={"daily": "1", "weekly": "2", "yearly": "3"})),
    "in lists": body(told(accounts=[account(swift="X"), account()])),
    "at the top": body(told(), inTime="1758827099511856", outTime="1758827099513562"),
    "as numbers and lists": body(told(new=5, newer=[1, "2", None]), inTime=17),
    "nothing": body(told()),
}


@pytest.mark.parametrize("answer", ADDED.values(), ids=ADDED)
def test_a_new_field_is_looked_at_once(answer, looks):
    codec = Codec(Method)
    first = decoded(codec, answer)
    assert len(looks) <= 1
    looks.clear()
    assert [decoded(codec, answer) for _ in range(5)] == [first] * 5
    assert looks == []


def test_a_new_field_changes_nothing_for_the_others():
    plain = Codec(Method).look(body(told()))
    codec = Codec(Method)
    assert [decoded(codec, body(told(new="1"))) for _ in range(3)] == [plain] * 3
    assert codec.learned == {"Method": ("new",)}


def test_a_new_field_that_comes_and_goes_is_looked_at_twice_at_most(looks):
    codec = Codec(Method)
    for number in range(20):
        decoded(codec, body(told(new="1") if number % 2 else told(), told(new=number)))
    assert len(looks) <= 2


def test_documented_fields_that_come_and_go_are_looked_at_once_each(looks):
    codec = Codec(Method)
    for number in range(40):
        gone = ["tag", "minFee", "names", "spare"][number % 4]
        decoded(codec, body(told(**{gone: "left out"}), told(**{gone: "left out"})))
    assert len(looks) == 4


def test_quotation_marks_within_texts_need_no_look(looks):
    codec = Codec(Method)
    decoded(codec, body(told(ccy='a "quoted" one', tag='"')))
    assert looks == []


def test_what_is_learned_has_a_bound():
    codec = Codec(Method)
    for number in range(100):
        decoded(codec, body(told(**{f"new{number}": "1"}), **{f"top{number}": "1"}))
    assert sum(map(len, codec.learned.values())) <= 64
    with pytest.raises(ValueError, match="stands twice"):
        decoded(codec, body(told()).replace(b'"ccy":"TRY"', b'"z":"1","z":"1","ccy":"TRY"'))


def test_from_an_answer_that_is_none_nothing_is_learned(looks):
    codec = Codec(Method)
    for odd in (told(new="1", feeRate="NaN"), told(new="1", ccy=None)):
        with pytest.raises(REFUSED):
            decoded(codec, body(odd))
    assert codec.learned == {}
    looks.clear()
    decoded(codec, body(told()))
    assert looks == []
