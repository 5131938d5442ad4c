"""Non-tradable assets and valuations: generated, repeatable by seed, in OKX's shape."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from .answers import compact
from .catalogue import VALUATION_UNITS, plain

Row = dict[str, Any]
"""One row of ``data``, with OKX's names: text but for the booleans."""

_LOGO = "https://static.coinall.ltd/cdn/assets/imgs/"

# https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets
_DOCUMENTED_ASSETS: tuple[Row, ...] = (
    {
        "bal": "989.84719571",
        "burningFeeRate": "",
        "canWd": True,
        "ccy": "CELT",
        "chain": "CELT-OKTC",
        "ctAddr": "f403fb",
        "fee": "2",
        "feeCcy": "USDT",
        "logoLink": _LOGO + "221/460DA8A592400393.png",
        "minWd": "0.1",
        "name": "",
        "needTag": False,
        "wdAll": False,
        "wdTickSz": "8",
    },
    {
        "bal": "0.001",
        "burningFeeRate": "",
        "canWd": True,
        "ccy": "MEME",
        "chain": "MEME-ERC20",
        "ctAddr": "09b760",
        "fee": "5",
        "feeCcy": "USDT",
        "logoLink": _LOGO + "207/2E664E470103C613.png",
        "minWd": "0.001",
        "name": "MEME Inu",
        "needTag": False,
        "wdAll": False,
        "wdTickSz": "8",
    },
)

# https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation
# The parts of OKX's example don't add up to its total; they stay as they are, so that nobody adds.
_DOCUMENTED_VALUATION: Row = {
    "details": {"classic": "124.6", "earn": "1122.73", "funding": "0.09", "trading": "2544.28"},
    "totalBal": "3790.09",
}

_CHAINS = ("ERC20", "TRC20", "BSC", "Polygon", "OKTC", "Solana", "Arbitrum One", "Base", "TON")
_SYLLABLES = ("BA", "CE", "DO", "FU", "GI", "KO", "LU", "MA", "NE", "PI", "QU", "RA", "SO", "TRI")
_WORDS = ("Moon", "Shiba", "Star", "Turbo", "Chain", "Swap", "Safe", "Pepe", "Node", "Lend", "Dao")
_TAGGED = frozenset({"TON"})

_PER_USD = {
    "BTC": "0.0000105", "USDT": "1", "USD": "1", "CNY": "7.1", "JPY": "151", "KRW": "1390",
    "RUB": "81", "EUR": "0.86", "VND": "26300", "IDR": "16600", "INR": "88", "PHP": "58.5",
    "THB": "32.4", "TRY": "42", "AUD": "1.53", "SGD": "1.3", "ARS": "1450", "SAR": "3.75",
    "AED": "3.67", "IQD": "1310",
}  # fmt: skip
"""Rough rates: enough for totals that differ by unit in a believable way."""


@functools.lru_cache(maxsize=8)
def listed_assets(seed: int, currencies: int) -> tuple[Row, ...]:
    """CELT and MEME as documented, then generated rows, without the balances of any user.

    ``currencies`` counts them all; about one in ten is on several chains, which makes a row each.
    """
    chance = random.Random(f"{seed}/assets")
    rows = list(_DOCUMENTED_ASSETS[:currencies])
    names = {row["ccy"] for row in rows}
    while len(names) < currencies:
        ccy = "".join(chance.choices(_SYLLABLES, k=chance.choice((2, 2, 3))))
        if chance.random() < 0.1:
            ccy += chance.choice("123X")
        if ccy in names or ccy in VALUATION_UNITS:
            continue
        names.add(ccy)
        several = chance.random() < 0.1
        name = "" if chance.random() < 0.25 else f"{ccy.title()} {chance.choice(_WORDS)}"
        logo = f"{_LOGO}{chance.randrange(1000)}/{chance.randrange(16**16):016X}.png"
        for chain in chance.sample(_CHAINS, k=chance.choice((2, 3)) if several else 1):
            rows.append(_listed(chance, ccy, name, logo, chain))
    return tuple(rows)


def _listed(chance: random.Random, ccy: str, name: str, logo: str, chain: str) -> Row:
    decimals = chance.choice((0, 2, 4, 6, 8, 8, 8))
    can_withdraw = chance.random() < 0.95
    return {
        "bal": "0",
        "burningFeeRate": chance.choice(("0.05", "0.01", "0.1")) if chance.random() < 0.1 else "",
        "canWd": can_withdraw,
        "ccy": ccy,
        "chain": f"{ccy}-{chain}",
        "ctAddr": f"{chance.randrange(16**6):06x}",
        "fee": "" if chance.random() < 0.05 else _amount(chance, 2, upto=20),
        "feeCcy": "USDT",
        "logoLink": logo,
        "minWd": "" if chance.random() < 0.05 else _amount(chance, min(decimals, 4), upto=10),
        "name": name,
        "needTag": chain in _TAGGED,
        "wdAll": chance.random() < 0.15,
        "wdTickSz": "" if chance.random() < 0.03 else str(decimals),
    }


def _amount(chance: random.Random, decimals: int, *, upto: int) -> str:
    """A positive amount as OKX writes it: plain, without trailing zeros."""
    number = Decimal(chance.randrange(1, upto * 10**decimals)).scaleb(-decimals)
    return f"{number.normalize():f}"


class NonTradableAssets:
    """A user's non-tradable assets, and the valuation of all they own.

    Rows come and go as wire dicts, with OKX's names, and are copied. ``documented`` gives CELT,
    MEME and the valuation in USDT OKX's own figures. Valuations don't follow the ledger.
    """

    def __init__(self, user_id: str, seed: int, currencies: int, *, documented: bool) -> None:
        self.user_id = user_id
        self._seed = seed
        self._currencies = currencies
        self._documented = documented
        self._rows: list[Row] | None = None
        self._by_ccy: dict[str, tuple[int, bytes]] = {}
        self._everything = b""
        self._valuations: dict[str, Row] = {}

    def __repr__(self) -> str:
        kind, assets = type(self).__name__, len(self._loaded())
        return f"<{kind} {len(self.currencies)} currencies, {assets} assets>"

    @property
    def assets(self) -> list[Row]:
        """All non-tradable assets, a row per currency and chain. Assign a list to change them."""
        return copy.deepcopy(self._loaded())

    @assets.setter
    def assets(self, rows: Iterable[Row]) -> None:
        self._store(copy.deepcopy(list(rows)))

    @property
    def currencies(self) -> list[str]:
        """Each currency of ``assets`` once, in their order."""
        self._loaded()
        return list(self._by_ccy)

    def set_balance(self, ccy: str, bal: str) -> None:
        """Give all rows of a currency this balance. Raises KeyError where there is none."""
        rows = self.assets
        mine = [row for row in rows if row["ccy"] == ccy]
        if not mine:
            raise KeyError(ccy)
        for row in mine:
            row["bal"] = bal
        self._store(rows)

    def set_valuation(
        self, ccy: str, total_bal: str, details: Mapping[str, str] | None = None
    ) -> None:
        """The valuation in this unit, as text. Raises ValueError for a unit that OKX doesn't have.

        ``details`` has OKX's names: funding, trading, earn, classic; None keeps them.
        """
        old = self.valuation(ccy)
        details = old["details"] if details is None else dict(details)
        self._valuations[ccy] = {"details": details, "totalBal": total_bal}

    def valuation(self, ccy: str) -> Row:
        """The valuation in this unit, without ``ts``."""
        if ccy not in VALUATION_UNITS:
            raise ValueError(f"no valuation in {ccy!r}")
        if ccy not in self._valuations:
            documented = ccy == "USDT" and self._documented
            self._valuations[ccy] = (
                _DOCUMENTED_VALUATION
                if documented
                else _valuation(ccy, f"{self._seed}/{self.user_id}/valuation")
            )
        return copy.deepcopy(self._valuations[ccy])

    # --- what the services answer with ----------------------------------------------------------

    def encoded_assets(self, currencies: Sequence[str]) -> bytes:
        """The rows of these currencies as JSON, in the account's order; all where none is named.

        The account's order, because OKX promises none: rows have to be matched by currency.
        """
        self._loaded()
        if not currencies:
            return self._everything
        known = self._by_ccy
        found = sorted(known[ccy] for ccy in {*currencies} if ccy in known)
        return b",".join(text for _, text in found)

    def encoded_valuation(self, ccy: str, ts: int) -> bytes:
        """The valuation in a unit that exists, as JSON."""
        return compact({**self.valuation(ccy), "ts": str(ts)})

    def owns(self, ccy: str) -> bool:
        """Whether the currency contributes rows."""
        self._loaded()
        return ccy in self._by_ccy

    # --- inside ---------------------------------------------------------------------------------

    def _loaded(self) -> list[Row]:
        if self._rows is None:
            self._store(self._generated())
            assert self._rows is not None
        return self._rows

    def _generated(self) -> list[Row]:
        chance = random.Random(f"{self._seed}/{self.user_id}/balances")
        rows = []
        for row in listed_assets(self._seed, self._currencies):
            balance = _amount(chance, int(row["wdTickSz"] or 8), upto=10_000)
            keep = self._documented and any(row is mine for mine in _DOCUMENTED_ASSETS)
            rows.append(dict(row) if keep else {**row, "bal": balance})
        return rows

    def _store(self, rows: list[Row]) -> None:
        texts: dict[str, list[bytes]] = {}
        for row in rows:
            texts.setdefault(row["ccy"], []).append(compact(row))
        self._by_ccy = {
            ccy: (position, b",".join(mine)) for position, (ccy, mine) in enumerate(texts.items())
        }
        self._everything = b",".join(compact(row) for row in rows)
        self._rows = rows


def _valuation(ccy: str, seed: str) -> Row:
    chance = random.Random(seed)
    usd = {name: Decimal(chance.randrange(1, 10**6)).scaleb(-2) for name in ("funding", "trading")}
    usd |= {"earn": Decimal(chance.randrange(0, 10**6)).scaleb(-2), "classic": Decimal(0)}
    places = Decimal("0.00000001") if ccy == "BTC" else Decimal("0.01")
    rate = Decimal(_PER_USD[ccy])
    details = {name: (amount * rate).quantize(places) for name, amount in sorted(usd.items())}
    return {
        "details": {name: plain(amount) for name, amount in details.items()},
        "totalBal": plain(sum(details.values(), Decimal(0))),
    }
