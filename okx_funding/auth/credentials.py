"""Who calls: credentials that don't leak, and the signing they do.

Secrets are wrapped the moment they are read, in text whose ``repr`` is masked, and no function
here raises while it holds a bare one: crash reporters render the locals of every frame.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from typing import Any, NoReturn, SupportsIndex, final
from urllib.parse import quote

from okx_funding.errors import InvalidArgumentError

from . import settings as configuration
from .secret import Secret, problem_of
from .settings import Parts, Settings
from .signing import SignedHeaders, keyed


@final
class Credentials:
    """An API key of OKX with its secret key and its passphrase. Immutable.

    ``user_id`` is the OKX User ID (uid) that the key belongs to. OKX counts limits by it, so
    give it where several keys of one user are in use; without it the API key stands in.

    Raises InvalidArgumentError, which names the part and never its value, for a part that isn't
    a str, is empty, has white space around it, or holds a control or non-ASCII character.

    Nothing prints the secrets: ``repr`` and ``str`` mask them and pickling is refused. Copies
    are the object itself. https://www.okx.com/docs-v5/en/#overview-rest-authentication
    """

    __slots__ = ("_api_key", "_hash", "_keyed", "_passphrase", "_secret_key", "_user_id")

    _api_key: Secret
    _secret_key: Secret
    _passphrase: Secret
    _user_id: str | None
    _keyed: hmac.HMAC
    _hash: int

    def __init__(
        self, api_key: str, secret_key: str, passphrase: str, *, user_id: str | None = None
    ) -> None:
        problem = (
            problem_of("api_key", api_key)
            or problem_of("secret_key", secret_key)
            or problem_of("passphrase", passphrase)
            or (None if user_id is None else problem_of("user_id", user_id))
        )
        if problem is not None:
            del api_key, secret_key, passphrase, user_id
            raise InvalidArgumentError(problem)
        put = object.__setattr__
        put(self, "_api_key", Secret(str.__str__(api_key)))
        put(self, "_secret_key", Secret(str.__str__(secret_key)))
        put(self, "_passphrase", Secret(str.__str__(passphrase)))
        put(self, "_user_id", None if user_id is None else str.__str__(user_id))
        put(self, "_keyed", keyed(secret_key))
        put(self, "_hash", hash(self._identity()))

    @classmethod
    def from_env(cls) -> Credentials:
        """Read OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE and, if set, OKX_USER_ID.

        Accepted too: OKX_API_SECRET, OKX_API_SECRET_KEY and OKX_SECRET; OKX_API_PASSPHRASE and
        OKX_PASSWORD. An empty variable counts as unset; surrounding white space is stripped,
        with a warning.

        Raises InvalidArgumentError when a part is missing or unusable, or when two names of one
        part hold different values; it names the variables, never the values.
        """
        return _made(configuration.parts_from_env())

    @classmethod
    def from_profile(cls, name: str | None = None) -> Credentials:
        """Read a profile of OKX's own ``~/.okx/config.toml``; without a name the default one.

        A profile is ``[profiles.NAME]`` with api_key, secret_key, passphrase and, if you like,
        user_id. OKX_PROFILE or ``default_profile`` at the top name the default one ("default"
        otherwise). A file that other users of the machine can read is warned of.

        Raises InvalidArgumentError when the file, the profile or a part is missing or unusable.
        """
        return _made(configuration.parts_from_profile(name))

    @property
    def user_id(self) -> str | None:
        """The OKX User ID, or None when it wasn't given."""
        return self._user_id

    @property
    def api_key(self) -> str:
        """The API key, in a str whose ``repr`` is masked. To show it there is ``masked``."""
        return self._api_key

    @property
    def masked(self) -> str:
        """The API key fit to be shown: its first four and last two characters.

        ``***`` when it has less than twelve.
        """
        key = self._api_key
        return f"{key[:4]}...{key[-2:]}" if len(key) >= 12 else "***"

    @property
    def mark(self) -> str:
        """Tells one API key from all others without showing it."""
        return f"{self.masked}#{hashlib.sha256(self._api_key.encode()).hexdigest()[:12]}"

    def reveal(self) -> tuple[str, str, str]:
        """The API key, the secret key and the passphrase as plain text.

        For the other side of the wire, that is the simulated exchange, and for handing the
        credentials to another library. Don't log it.
        """
        return str(self._api_key), str(self._secret_key), str(self._passphrase)

    def redact(self, text: str) -> str:
        """``text`` with every occurrence of a part replaced by ``***``.

        That goes for its forms within a ``repr``, within JSON and within a URL as well.
        """
        for part in sorted((self._api_key, self._secret_key, self._passphrase), key=len)[::-1]:
            plain = str(part)
            forms = {plain, repr(plain)[1:-1], json.dumps(plain)[1:-1], quote(plain, safe="")}
            for form in sorted(forms, key=len, reverse=True):
                text = text.replace(form, "***")
        return text

    def sign(self, timestamp: str, method: str, target: str, body: str = "") -> str:
        """The signature of a request, in Base64.

        ``target`` is the path with its query, ``body`` the JSON text: both exactly as sent.
        ``method`` is in capitals. https://www.okx.com/docs-v5/en/#overview-rest-authentication
        """
        mac = self._keyed.copy()
        mac.update(f"{timestamp}{method}{target}{body}".encode())
        return binascii.b2a_base64(mac.digest(), newline=False).decode()

    def headers(
        self, timestamp: str, method: str, target: str, body: str = "", demo: bool = False
    ) -> SignedHeaders:
        """The headers of a signed request, see ``sign``; ``demo`` asks for demo trading."""
        headers = SignedHeaders(
            {
                "OK-ACCESS-KEY": self._api_key,
                "OK-ACCESS-SIGN": Secret(self.sign(timestamp, method, target, body)),
                "OK-ACCESS-TIMESTAMP": timestamp,
                "OK-ACCESS-PASSPHRASE": self._passphrase,
            }
        )
        if demo:
            headers["x-simulated-trading"] = "1"
        if body:
            headers["Content-Type"] = "application/json"
        return headers

    def __repr__(self) -> str:
        # A traceback may ask while __init__ is still at work, before there are any parts.
        if not hasattr(self, "_hash"):
            return "Credentials(***)"
        user = "" if self._user_id is None else f", user_id={self._user_id!r}"
        return f"Credentials({self.masked!r}{user})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return self._hash

    def _identity(self) -> tuple[str, str, str, str | None]:
        return self._api_key, self._secret_key, self._passphrase, self._user_id

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"credentials are immutable: {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"credentials are immutable: {name} can't be deleted")

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Credentials:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError(_NO_PICKLE)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(_NO_PICKLE)


def _made(parts: Parts) -> Credentials:
    return Credentials(parts.api_key, parts.secret_key, parts.passphrase, user_id=parts.user_id)


def resolve(
    credentials: Credentials | None = None, profile: str | None = None
) -> tuple[Credentials, Settings]:
    """The credentials and settings in force: arguments, then the environment, then the profile.

    The rule goes for each setting, and for the credentials as a whole: their parts are never
    mixed from two places. Without ``profile`` the default profile comes last, and needn't
    exist. A profile that is named is an argument: it comes before the environment, must exist,
    and may lack the keys only when ``credentials`` are given.

    Raises InvalidArgumentError when no credentials are found, or something found is unusable.
    """
    if credentials is not None:
        return credentials, configuration.settings(profile)
    return _made(configuration.parts(profile)), configuration.settings(profile)


_NO_PICKLE = (
    "credentials are not pickled: read them again in the other process, with "
    "Credentials.from_env() or Credentials.from_profile()"
)
