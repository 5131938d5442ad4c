"""What to write instead, for who comes from python-okx or ccxt; pure, and it holds no value."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_KEYS = "write FundingClient(Credentials(api_key, secret_key, passphrase))"
_INSTEAD = {
    "flag": "write demo=True instead of flag='1', and leave flag='0' out",
    "api_key": _KEYS,
    "api_secret_key": _KEYS,
    "secret_key": _KEYS,
    "passphrase": _KEYS,
    "apiKey": _KEYS,
    "secret": _KEYS,
    "password": _KEYS,
    "use_server_time": "leave it out: the clock is corrected when OKX says that it is wrong",
    "domain": "write base_url='https://www.okx.com'",
    "debug": "write logging.getLogger('okx_funding').setLevel(logging.DEBUG)",
    "proxy": "write FundingClient(..., session=Session(proxy=...)), or set OKX_PROXY",
    "sandbox": "write demo=True",
    "enableRateLimit": "leave it out: the limit is always kept",
    "timeout": "write request_timeout= for one attempt, or timeout= with each call",
}


def of_constructor(
    positional: Collection[object], options: Mapping[str, object], known: Collection[str]
) -> str | None:
    """What to say of arguments that another library takes; None where all may be right."""
    if len(positional) > 1 or any(isinstance(each, str | dict) for each in positional):
        return f"FundingClient takes Credentials, and all else by name: {_KEYS}"
    for name in options:
        if name not in known:
            hint = _INSTEAD.get(name, f"it takes {', '.join(known)}")
            return f"FundingClient has no argument {name}=: {hint}"
    return None
