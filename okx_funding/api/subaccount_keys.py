"""How sub-accounts and their API keys are made, changed and deleted, with the master's key.

None of these is ever repeated by itself. After a fault whose outcome is unknown, list what there
is, delete what isn't wanted, and make it anew: a key whose secret got lost is of no use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack

import msgspec

from okx_funding.auth.secret import Secret

from . import params as check
from .params import optional
from .rows import TimedRow
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, Row, get, post

if TYPE_CHECKING:
    from okx_funding.auth.credentials import Credentials

SubaccountType = Literal["1", "5", "12"]
"""1 standard, 5 custody by Copper, 12 custody by Komainu."""
KeyPermission = Literal["read_only", "trade"]


class CreatedSubaccount(TimedRow, frozen=True):
    """A new sub-account.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-sub-account
    """

    sub_acct: str
    uid: str
    """Its User ID."""
    label: str = ""


class SubaccountApiKey(TimedRow, frozen=True):
    """A new API key with its secret key, which OKX shows this once.

    ``repr`` masks the secrets, pickling is refused; `credentials` is what a client takes.
    https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-an-api-key-for-a-sub-account
    """

    sub_acct: str
    api_key: str
    secret_key: str
    passphrase: str
    label: str = ""
    perm: str = ""
    """What the key may do, a comma list of read_only and trade."""
    ip: str = ""
    """The addresses that the key is bound to, a comma list; empty for none."""

    def __post_init__(self) -> None:
        for name in ("api_key", "secret_key", "passphrase"):
            msgspec.structs.force_setattr(self, name, Secret(getattr(self, name)))

    @property
    def credentials(self) -> Credentials:
        """Credentials of the sub-account, ready for a client."""
        from okx_funding.auth.credentials import Credentials

        return Credentials(self.api_key, self.secret_key, self.passphrase)


class SubaccountApiKeyInfo(TimedRow, frozen=True):
    """What OKX tells of an API key afterwards, which isn't its secret.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-query-the-api-key-of-a-sub-account
    """

    api_key: str
    label: str = ""
    perm: str = ""
    """What the key may do, a comma list of read_only and trade."""
    ip: str = ""
    """The addresses that the key is bound to, a comma list; empty for none."""
    sub_acct: str = ""
    """Its sub-account; empty in a list of keys."""


class DeletedApiKey(Row, frozen=True):
    """The sub-account whose key was deleted.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-delete-the-api-key-of-sub-accounts
    """

    sub_acct: str


CREATE_SUBACCOUNT = post(
    "create_subaccount", "/api/v5/users/subaccount/create-subaccount", CreatedSubaccount,
    RateLimit(1), docs="sub-account-rest-api-create-sub-account", group="subaccounts",
    permission="trade",
)  # fmt: skip
CREATE_SUBACCOUNT_APIKEY = post(
    "create_subaccount_apikey", "/api/v5/users/subaccount/apikey", SubaccountApiKey,
    RateLimit(1), docs="sub-account-rest-api-create-an-api-key-for-a-sub-account",
    group="subaccounts", permission="trade",
)  # fmt: skip
GET_SUBACCOUNT_APIKEYS = get(
    "get_subaccount_apikeys", "/api/v5/users/subaccount/apikey", SubaccountApiKeyInfo,
    RateLimit(20, 2.0), docs="sub-account-rest-api-query-the-api-key-of-a-sub-account",
    group="subaccounts",
)  # fmt: skip
RESET_SUBACCOUNT_APIKEY = post(
    "reset_subaccount_apikey", "/api/v5/users/subaccount/modify-apikey", SubaccountApiKeyInfo,
    RateLimit(1), docs="sub-account-rest-api-reset-the-api-key-of-a-sub-account",
    group="subaccounts", permission="trade",
)  # fmt: skip
DELETE_SUBACCOUNT_APIKEY = post(
    "delete_subaccount_apikey", "/api/v5/users/subaccount/delete-apikey", DeletedApiKey,
    RateLimit(1), docs="sub-account-rest-api-delete-the-api-key-of-sub-accounts",
    group="subaccounts", permission="trade",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    CREATE_SUBACCOUNT,
    CREATE_SUBACCOUNT_APIKEY,
    GET_SUBACCOUNT_APIKEYS,
    RESET_SUBACCOUNT_APIKEY,
    DELETE_SUBACCOUNT_APIKEY,
)


class SubaccountKeys(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def create_subaccount(
        self,
        sub_acct: str,
        *,
        type: SubaccountType | str = "1",
        label: str | None = None,
        pwd: str | None = None,
        **options: Unpack[Options],
    ) -> CreatedSubaccount:
        """Make a sub-account. Never repeated by itself.

        After an outcome that is unknown look with `get_subaccount_list` whether it is there.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-sub-account
        """
        if pwd is not None:
            pwd = check.secret("pwd", pwd)
        params = {
            "subAcct": check.identifier("sub_acct", sub_acct),
            "type": check.code("type", type),
            "label": optional(check.text, "label", label),
            "pwd": pwd,
        }
        return await self._row(CREATE_SUBACCOUNT, params, options)

    async def create_subaccount_apikey(
        self,
        sub_acct: str,
        label: str,
        passphrase: str,
        *,
        perm: KeyPermission | str | Iterable[KeyPermission] | None = None,
        ip: str | Iterable[str] | None = None,
        **options: Unpack[Options],
    ) -> SubaccountApiKey:
        """Make an API key of a sub-account, bound to up to 20 addresses. Never repeated by itself.

        Its secret key comes this once. After an outcome that is unknown list the keys with
        `get_subaccount_apikeys`, delete the new one, and make another.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-an-api-key-for-a-sub-account
        """
        passphrase = check.secret("passphrase", passphrase)
        params = {
            "subAcct": check.identifier("sub_acct", sub_acct),
            "label": check.text("label", label),
            "passphrase": passphrase,
            "perm": optional(check.several, "perm", perm),
            "ip": optional(check.several, "ip", ip),
        }
        return await self._row(CREATE_SUBACCOUNT_APIKEY, params, options)

    async def get_subaccount_apikeys(
        self, sub_acct: str, api_key: str | None = None, **options: Unpack[ReadOptions]
    ) -> list[SubaccountApiKeyInfo]:
        """The API keys of a sub-account, or the one asked for; without their secrets.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-query-the-api-key-of-a-sub-account
        """
        params = {
            "subAcct": check.identifier("sub_acct", sub_acct),
            "apiKey": optional(check.identifier, "api_key", api_key),
        }
        return await self._rows(GET_SUBACCOUNT_APIKEYS, params, options)

    async def reset_subaccount_apikey(
        self,
        sub_acct: str,
        api_key: str,
        *,
        label: str | None = None,
        perm: KeyPermission | str | Iterable[KeyPermission] | None = None,
        ip: str | Iterable[str] | None = None,
        **options: Unpack[Options],
    ) -> SubaccountApiKeyInfo:
        """Change label, permissions or addresses of a sub-account's key. Never repeated by itself.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-reset-the-api-key-of-a-sub-account
        """
        params = {
            "subAcct": check.identifier("sub_acct", sub_acct),
            "apiKey": check.identifier("api_key", api_key),
            "label": optional(check.text, "label", label),
            "perm": optional(check.several, "perm", perm),
            "ip": optional(check.several, "ip", ip),
        }
        return await self._row(RESET_SUBACCOUNT_APIKEY, params, options)

    async def delete_subaccount_apikey(
        self, sub_acct: str, api_key: str, **options: Unpack[Options]
    ) -> DeletedApiKey:
        """Delete an API key of a sub-account. Never repeated by itself.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-delete-the-api-key-of-sub-accounts
        """
        params = {
            "subAcct": check.identifier("sub_acct", sub_acct),
            "apiKey": check.identifier("api_key", api_key),
        }
        return await self._row(DELETE_SUBACCOUNT_APIKEY, params, options)
