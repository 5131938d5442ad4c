"""Where credentials and settings come from: arguments, the environment, OKX's profile file.

As in ``credentials``, every secret is wrapped the moment it is read, and nothing is raised while
a bare one is in reach.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from okx_funding.errors import InvalidArgumentError

from .profile_file import WHERE, open_to_others, read
from .secret import Secret, problem_of

SITES = {
    "global": "https://www.okx.com",
    "eea": "https://eea.okx.com",
    "us": "https://us.okx.com",
    "tr": "https://tr.okx.com",
}
"""OKX's host for each ``site`` of a profile and of OKX_SITE.
https://www.okx.com/docs-v5/en/#overview

OKX recommends https://openapi.okx.com for global accounts since May 2026; www stays supported.
"""

_PARTS = ("api_key", "secret_key", "passphrase")
_VARIABLES = {
    "api_key": ("OKX_API_KEY",),
    "secret_key": ("OKX_SECRET_KEY", "OKX_API_SECRET", "OKX_API_SECRET_KEY", "OKX_SECRET"),
    "passphrase": ("OKX_PASSPHRASE", "OKX_API_PASSPHRASE", "OKX_PASSWORD"),
}
_STANDARD = tuple(names[0] for names in _VARIABLES.values())
_KNOWN = (*_PARTS, "user_id", "demo", "site", "proxy_url")
"""What a profile may hold."""


class CredentialsWarning(UserWarning):
    """Something about the environment or the profile was put right: have a look at it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What goes with the credentials and isn't secret; None where nothing is set."""

    demo: bool | None = None
    base_url: str | None = None
    """Such as ``https://www.okx.com``."""
    proxy: str | None = None
    """Such as ``http://user:password@proxy:3128``; ``repr`` leaves out user and password."""

    @classmethod
    def from_env(cls) -> Settings:
        """Read OKX_DEMO or OKX_FLAG ("1", "0", "true", "false"), OKX_API_BASE_URL, OKX_PROXY.

        OKX_SITE (global, eea, us, tr) gives the host where OKX_API_BASE_URL isn't set.

        Raises InvalidArgumentError for another value, or when the first two contradict.
        """
        said = {
            name: _flag(name, value)
            for name in ("OKX_DEMO", "OKX_FLAG")
            if (value := _variable(name)) is not None
        }
        if len(set(said.values())) > 1:
            raise InvalidArgumentError("OKX_DEMO and OKX_FLAG contradict: keep one of them")
        site, url = _variable("OKX_SITE"), _variable("OKX_API_BASE_URL")
        host = None if site is None else _host("OKX_SITE", site)
        return cls(
            demo=next(iter(said.values()), None),
            base_url=host if url is None else str(url),
            proxy=_variable("OKX_PROXY"),
        )

    @classmethod
    def from_profile(cls, name: str | None = None) -> Settings:
        """Read ``demo``, ``site`` (global, eea, us, tr) and ``proxy_url`` of a profile.

        Warns of keys that no profile has. Raises InvalidArgumentError as
        ``Credentials.from_profile`` does, and for a bad value.
        """
        return _required_profile(name).settings()

    def otherwise(self, other: Settings) -> Settings:
        """These settings, and those of ``other`` where nothing is set here."""
        return Settings(
            demo=other.demo if self.demo is None else self.demo,
            base_url=other.base_url if self.base_url is None else self.base_url,
            proxy=other.proxy if self.proxy is None else self.proxy,
        )

    def __repr__(self) -> str:
        proxy = self.proxy
        if proxy is not None and "@" in proxy:
            proxy = f"***@{proxy.rpartition('@')[2]}"
        return f"Settings(demo={self.demo!r}, base_url={self.base_url!r}, proxy={proxy!r})"


class Parts(NamedTuple):
    """What credentials are made of, each part wrapped."""

    api_key: Secret
    secret_key: Secret
    passphrase: Secret
    user_id: Secret | None


def settings(profile: str | None = None) -> Settings:
    """The settings in force, as ``credentials.resolve`` tells."""
    environment = Settings.from_env()
    if profile is not None:
        return _required_profile(profile).settings().otherwise(environment)
    default, _ = _profile(None)
    return environment if default is None else environment.otherwise(default.settings())


def parts(profile: str | None = None) -> Parts:
    """The credentials in force, as ``credentials.resolve`` tells."""
    if profile is not None:
        return _required_profile(profile).parts()
    found = _environment()
    if found is not None:
        return found
    default, reason = _profile(None)
    if default is None:
        raise InvalidArgumentError(
            f"no credentials: give Credentials(...), set {_in_words(_STANDARD)}, or make a "
            f"profile ({reason})"
        )
    return default.parts()


def profile_names() -> list[str]:
    """The names of all profiles of ``~/.okx/config.toml``, in its order."""
    profiles = (read() or {}).get("profiles")
    return list(profiles) if isinstance(profiles, dict) else []


def source(profile: str | None = None) -> str:
    """Where `parts` takes the credentials from, in words. Raises as it does."""
    if profile is None and _environment() is not None:
        names = (name for names in _VARIABLES.values() for name in names)
        return f"the environment ({_in_words(tuple(it for it in names if _variable(it)))})"
    found = _required_profile(profile)
    found.parts()
    return found.label


def parts_from_env() -> Parts:
    """See ``Credentials.from_env``."""
    found = _environment()
    if found is None:
        raise InvalidArgumentError(f"no credentials in the environment: set {_in_words(_STANDARD)}")
    return found


def parts_from_profile(name: str | None) -> Parts:
    """See ``Credentials.from_profile``."""
    return _required_profile(name).parts()


def _in_words(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _stripped(name: str, value: Secret) -> Secret:
    bare = Secret(value.strip())
    if bare and bare != value:
        warnings.warn(
            f"{name} has white space around it, which was stripped", CredentialsWarning, 2
        )
    return bare


def _variable(name: str) -> Secret | None:
    """The variable without surrounding white space; None when it is unset or empty."""
    if name not in os.environ:
        return None
    return _stripped(name, Secret(os.environ[name])) or None


def _host(name: str, site: object) -> str:
    host = SITES.get(str(site).lower())
    if host is None:
        raise InvalidArgumentError(f"{name} must be {', '.join(SITES)}, not {str(site)!r}")
    return host


def _flag(name: str, value: object) -> bool:
    words = {"1": True, "true": True, "0": False, "false": False}
    flag = words.get(str(value).lower())
    if flag is None:
        raise InvalidArgumentError(f"{name} must be 1 or 0, true or false, not {str(value)!r}")
    return flag


def _environment() -> Parts | None:
    """The credentials of the environment; None when it names no part of them."""
    found: dict[str, Secret] = {}
    for part, names in _VARIABLES.items():
        values = {name: value for name in names if (value := _variable(name)) is not None}
        if len(set(values.values())) > 1:
            raise InvalidArgumentError(
                f"{_in_words(tuple(values))} have different values: keep one of them"
            )
        for name, value in values.items():
            problem = problem_of(name, value)
            if problem is not None:
                raise InvalidArgumentError(problem)
            found[part] = value
    if not found:
        return None
    missing = tuple(_VARIABLES[part][0] for part in _PARTS if part not in found)
    if missing:
        raise InvalidArgumentError(
            f"the environment holds a part of the credentials only: set {_in_words(missing)} too"
        )
    return _parts(found, _variable("OKX_USER_ID"), "OKX_USER_ID")


def _parts(found: dict[str, Secret], user_id: Secret | None, label: str) -> Parts:
    problem = None if user_id is None else problem_of(label, user_id)
    if problem is not None:
        raise InvalidArgumentError(problem)
    return Parts(found["api_key"], found["secret_key"], found["passphrase"], user_id)


class _Profile:
    """One profile, its texts already wrapped and its oddities replaced by their types."""

    __slots__ = ("_values", "label")

    def __init__(self, name: str, values: dict[str, object]) -> None:
        self.label = f"profile {name!r} in {WHERE}"
        self._values = values

    def _text(self, key: str) -> Secret | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, Secret):
            raise InvalidArgumentError(f"{key} of {self.label} must be a text in quotes")
        return _stripped(f"{key} of {self.label}", value) or None

    def parts(self) -> Parts:
        if (warning := open_to_others()) is not None:
            warnings.warn(warning, CredentialsWarning, 2)
        found = {part: text for part in _PARTS if (text := self._text(part)) is not None}
        missing = tuple(part for part in _PARTS if part not in found)
        if missing:
            raise InvalidArgumentError(f"{self.label} lacks {_in_words(missing)}")
        for part, text in found.items():
            problem = problem_of(f"{part} of {self.label}", text)
            if problem is not None:
                raise InvalidArgumentError(problem)
        return _parts(found, self._text("user_id"), f"user_id of {self.label}")

    def settings(self) -> Settings:
        unknown = tuple(sorted(set(self._values) - set(_KNOWN)))
        if unknown:
            warnings.warn(
                f"{self.label} has unknown keys, which have no effect: {', '.join(unknown)}. "
                f"Known are {_in_words(_KNOWN)}",
                CredentialsWarning,
                2,
            )
        site = self._text("site")
        demo = self._values.get("demo")
        return Settings(
            demo=None if demo is None else _flag(f"demo of {self.label}", demo),
            base_url=None if site is None else _host(f"site of {self.label}", site),
            proxy=self._text("proxy_url"),
        )


def _profile(name: str | None) -> tuple[_Profile | None, str]:
    """The profile, or why there is none. Raises where OKX_PROFILE names one that isn't there."""
    if name is None and (named := _variable("OKX_PROFILE")) is not None:
        profile, reason = _profile(str(named))
        if profile is None:
            raise InvalidArgumentError(f"OKX_PROFILE: {reason}")
        return profile, ""
    document = read()
    if document is None:
        return None, f"there is no {WHERE}"
    profiles = document.get("profiles")
    if not isinstance(profiles, dict):
        profiles = {}
    chosen = name if name is not None else str(document.get("default_profile", "default"))
    values = profiles.get(chosen)
    if isinstance(values, dict):
        return _Profile(chosen, values), ""
    known = f"there are {', '.join(map(str, profiles))}" if profiles else "there are none"
    return None, f"there is no profile {chosen!r} in {WHERE}: {known}"


def _required_profile(name: str | None) -> _Profile:
    profile, reason = _profile(name)
    if profile is None:
        raise InvalidArgumentError(reason)
    return profile


def origin_of(url: str, allow_http: bool) -> str:
    """Scheme, host and port of ``url``; plain http only where nobody can listen."""
    if not isinstance(url, str):
        raise InvalidArgumentError("base_url must be a str, such as https://www.okx.com")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidArgumentError(
            "base_url isn't a URL; give one like https://www.okx.com"
        ) from None
    if parts.scheme not in ("https", "http") or not host or not url.isascii():
        raise InvalidArgumentError("base_url must be like https://www.okx.com")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise InvalidArgumentError(
            "base_url is scheme and host only, such as https://www.okx.com: no path, query or user"
        )
    if parts.scheme == "http" and not allow_http and not _loopback(host):
        raise InvalidArgumentError(
            f"http://{host} would send the passphrase in clear: use https, or allow_http=True"
        )
    shown = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def _loopback(host: str) -> bool:
    return (
        host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    )
