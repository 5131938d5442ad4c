"""Who may knock: users, their keys and their accounts."""

from __future__ import annotations

import random
import uuid

from okx_funding.auth.credentials import Credentials

from .accounts import Account
from .auth import Key


class Directory:
    """Users by user id (the API key stands in), each with one or more keys and one account."""

    def __init__(self, seed: int, currencies: int, *, demo: bool) -> None:
        self.keys: dict[str, Key] = {}
        self.accounts: dict[str, Account] = {}
        self.users: list[Credentials] = []
        self._seed = seed
        self._currencies = currencies
        self._demo = demo

    def add(self, credentials: Credentials) -> None:
        """One more key. Raises ValueError where it is known with other parts."""
        api_key, secret_key, passphrase = credentials.reveal()
        user_id = credentials.user_id or api_key
        key = self.keys.get(api_key)
        if key is not None:
            if key.has_parts(secret_key, passphrase, user_id):
                return
            del secret_key, passphrase
            raise ValueError("the same API key was given twice, with different parts")
        self.users.append(credentials)
        self.keys[api_key] = Key(api_key, user_id, secret_key.encode(), passphrase, demo=self._demo)
        if user_id not in self.accounts:
            self.accounts[user_id] = Account(
                user_id, self._seed, self._currencies, documented=not self.accounts
            )

    def remove(self, api_key: str) -> None:
        """From now on the key is unknown. Raises KeyError where it was before."""
        del self.keys[api_key]
        self.users = [user for user in self.users if user.api_key != api_key]


def own_user(seed: int) -> Credentials:
    """Credentials that look like OKX's and open nothing but the simulated exchange."""
    chance = random.Random(f"{seed}/user")
    return Credentials(
        str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        f"{chance.getrandbits(128):032X}",
        f"Simulated-{chance.getrandbits(32):08x}",
        user_id=str(chance.randrange(10**16, 10**17)),
    )
