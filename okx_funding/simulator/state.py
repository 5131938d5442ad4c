"""What the exchange knows, apart from the wire: users, what they own, and its clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from okx_funding.auth.credentials import Credentials

from .accounts import Account
from .auth import Key
from .books import Books, Rules
from .clock import Clock
from .ledger import Ledger, Movement
from .records import Deposit, Withdrawal
from .users import User, Users, own_user


class ExchangeState:
    """Users and their keys, the ledger, and time. `SimulatedExchange` puts a server before it."""

    def __init__(
        self,
        users: Iterable[Credentials] | None,
        rules: Rules,
        clock: Callable[[], float],
        seed: int,
        currencies: int,
        *,
        demo: bool,
        balances: Mapping[str, str] | None,
    ) -> None:
        self.rules: Rules = rules
        self._time = Clock(clock)
        self._users = Users(seed, demo=demo)
        self._books = Books(self._time, self._users, rules, seed)
        self._seed = seed
        self._currencies = currencies
        self._balances = balances
        self._accounts: dict[str, Account] = {}
        self._books.on_change.append(self._follow)
        for user in users or [own_user(seed)]:
            self.add_user(user)

    # --- users ----------------------------------------------------------------------------------

    @property
    def credentials(self) -> Credentials:
        """The first user's."""
        return self._users.credentials[0]

    @property
    def users(self) -> list[Credentials]:
        """The credentials of all keys, in the order they came."""
        return list(self._users.credentials)

    @property
    def user_ids(self) -> list[str]:
        """Each user once, in the order they came, without sub-accounts."""
        return [user.uid for user in self._users.masters]

    def add_user(self, credentials: Credentials) -> None:
        """One more user, or one more key of a user. Raises ValueError like the constructor."""
        uid = credentials.user_id or str.__str__(credentials.api_key)
        self._users.add_key(credentials, uid, created=self._time.stamp())
        if uid not in self._users.by_uid:
            self._books.open_account(uid)
            if self._balances:
                self.account(uid).set_balances(self._balances)

    def remove_key(self, api_key: str) -> None:
        """From now on the key is unknown (50111). Raises KeyError where it was before."""
        self._users.remove_key(api_key)

    def key(self, api_key: str | None = None) -> Key:
        """The settings of a key (permissions, ips, demo), by default of the first one."""
        return self._users.keys[self.credentials.api_key if api_key is None else api_key]

    def account(self, user_id: str | None = None) -> Account:
        """What a user or sub-account owns, by default the first one.

        ``user_id`` may also be "uid/name" with the name of a sub-account. Raises KeyError for
        whom the exchange doesn't know.
        """
        uid = self.user_ids[0] if user_id is None else user_id
        account = self._accounts.get(uid)
        if account is None:
            user = self._find(uid)
            account = self._accounts.get(user.uid)
            if account is None:
                documented = user.main is None and user is self._users.masters[0]
                account = self._accounts[user.uid] = Account(
                    user, self._books, self._seed, self._currencies, documented=documented
                )
        return account

    def _follow(self, record: Deposit | Withdrawal) -> None:
        """The balance of a non-tradable asset stands in its row, next to the ledger."""
        if isinstance(record, Withdrawal) and record.non_tradable:
            self.account(record.user_id).follow_ledger(record.ccy)

    def _find(self, uid: str) -> User:
        if uid in self._users.by_uid:
            return self._users.by_uid[uid]
        main, _, name = uid.partition("/")
        return self._users.by_uid[main].subs[name]

    @property
    def currencies(self) -> list[str]:
        """The currencies of the first user's non-tradable assets."""
        return self.account().currencies

    @property
    def bad_currencies(self) -> set[str]:
        """Upper-case names that are refused as wrong parameters; a set to add to."""
        return self.rules.bad_currencies

    # --- money ----------------------------------------------------------------------------------

    @property
    def movements(self) -> list[Movement]:
        """What the clients' orders moved, in this order: kind, client id, currency, amount.

        The yardstick of tests that lose answers: an order that was carried out once is here once.
        A transfer is here once it has succeeded, all others once they are accepted; ``undone``
        tells that the money came back.
        """
        self._books.agenda.run_due()
        return list(self._books.ledger.movements)

    @property
    def ledger(self) -> Ledger:
        """The books: ``ledger.check()`` raises AssertionError unless they balance."""
        return self._books.ledger

    @property
    def unexpected(self) -> Counter[tuple[str, str]]:
        """How often a parameter came that OKX's page doesn't name, or an empty one.

        Keyed by the endpoint's name and the parameter's.
        """
        return self._books.unexpected

    # --- time -----------------------------------------------------------------------------------

    @property
    def clock_skew(self) -> float:
        """Seconds by which the exchange's wall clock is ahead. May be set."""
        return self._time.skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        self._time.skew = seconds

    def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let time pass at once for all that the exchange does by itself.

        Deposits and withdrawals go their way, quotes expire, and rows made afterwards bear the
        later time. The clock that signatures are held against stays: that is ``clock_skew``.
        Raises ValueError for time that goes back.
        """
        self._books.agenda.advance(seconds + 60 * minutes + 3600 * hours)
