"""Who has an account: users, their sub-accounts, and the keys of both."""

from __future__ import annotations

import hashlib
import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from okx_funding.auth.credentials import Credentials

from .auth import Key


@dataclass(slots=True, eq=False)
class User:
    """A master account, or a sub-account of one. Settings may be changed at any time.

    ``verified`` are the addresses that withdrawals may go to. ``statements`` are the months whose
    monthly statement was applied for, with the time of that in milliseconds.
    """

    uid: str
    created: int
    name: str = ""
    main: User | None = None
    label: str = ""
    type: str = "1"
    can_transfer_out: bool = True
    enabled: bool = True
    subs: dict[str, User] = field(default_factory=dict, repr=False)
    verified: set[str] = field(default_factory=set, repr=False)
    statements: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def serial(self) -> int:
        """What orders the sub-accounts of one millisecond: the order in which they were made."""
        return list(self.main.subs).index(self.name) + 1 if self.main else 0

    @property
    def ts(self) -> int:
        return self.created

    @property
    def hidden(self) -> bool:
        return False

    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def address(self) -> str:
        """The verified address that every user has from the start."""
        return address_of(self.uid, "verified")


def address_of(*words: str) -> str:
    """A made-up address on an EVM chain, always the same one for the same words."""
    return "0x" + hashlib.sha256("/".join(words).encode()).hexdigest()[:40]


class Users:
    """Users by user id (the API key stands in), each with any number of keys."""

    def __init__(self, seed: int, *, demo: bool) -> None:
        self.keys: dict[str, Key] = {}
        self.by_uid: dict[str, User] = {}
        self.credentials: list[Credentials] = []
        self.addresses: dict[str, str] = {}
        """Deposit addresses that were given out, and whose they are."""
        self._demo = demo
        self._made = random.Random(f"{seed}/keys")
        self._uids = itertools.count(700_000_000_000_000_001)

    @property
    def masters(self) -> list[User]:
        """All users but the sub-accounts, in the order they came."""
        return [user for user in self.by_uid.values() if user.main is None]

    def add_key(self, credentials: Credentials, uid: str, **settings: object) -> Key | None:
        """One more key of a user; None where it was known. ValueError if with other parts."""
        api_key, secret_key, passphrase = credentials.reveal()
        key = self.keys.get(api_key)
        if key is not None:
            if key.has_parts(secret_key, passphrase, uid):
                return None
            del secret_key, passphrase
            raise ValueError("the same API key was given twice, with different parts")
        self.credentials.append(credentials)
        made = Key(api_key, uid, secret_key.encode(), passphrase, demo=self._demo)
        for name, value in settings.items():
            setattr(made, name, value)
        self.keys[api_key] = made
        return made

    def remove_key(self, api_key: str) -> None:
        """From now on the key is unknown. Raises KeyError where it was before."""
        del self.keys[api_key]
        self.credentials = [it for it in self.credentials if it.api_key != api_key]

    def keys_of(self, uid: str) -> Iterator[Key]:
        """The keys of a user, in the order they came."""
        return (key for key in self.keys.values() if key.user_id == uid)

    def add(self, uid: str, created: int) -> User:
        """A new master account."""
        user = self.by_uid[uid] = User(uid, created)
        user.verified.add(user.address)
        return user

    def add_sub(self, main: User, name: str, created: int, *, uid: str | None = None) -> User:
        """A new sub-account. Raises ValueError where the name is taken."""
        if name in main.subs:
            raise ValueError(f"there is a sub-account {name!r} already")
        uid = uid or str(next(self._uids))
        if uid in self.by_uid:
            raise ValueError(f"the user id {uid!r} is taken")
        sub = User(uid, created, name, main, label=name)
        main.subs[name] = self.by_uid[uid] = sub
        return sub

    def made_up(self, passphrase: str, uid: str) -> Credentials:
        """A new key that looks like OKX's."""
        return Credentials(
            str(uuid.UUID(int=self._made.getrandbits(128), version=4)),
            f"{self._made.getrandbits(128):032X}",
            passphrase,
            user_id=uid,
        )


def own_user(seed: int) -> Credentials:
    """Credentials that look like OKX's and open nothing but the simulated exchange."""
    chance = random.Random(f"{seed}/user")
    return Credentials(
        str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        f"{chance.getrandbits(128):032X}",
        f"Simulated-{chance.getrandbits(32):08x}",
        user_id=str(chance.randrange(10**16, 10**17)),
    )
