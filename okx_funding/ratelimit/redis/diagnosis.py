"""What a failure of Redis means: in words, and whether waiting may help."""

from __future__ import annotations

import re
import ssl

from redis import exceptions

_WORDS = {
    "WRONGPASS": "user or password is missing or wrong",
    "NOPERM": "its user may not do that: see docs/many-processes.md",
    "MOVED": "it is a node of a cluster, and the bucket is kept on another one",
    "WRONGTYPE": "something else is kept under the bucket's name",
    "READONLY": "it is a replica",
    "OOM": "its memory is full",
    "MISCONF": "it can't save to disk",
    "NOREPLICAS": "its replicas are gone",
    "NOSCRIPT": "it forgot the scripts",
    "LOADING": "it is loading its data",
    "BUSY": "a script keeps it busy",
    "MASTERDOWN": "its master is down",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving the bucket",
    "ASK": "its cluster is moving the bucket",
}
_OF_THE_SERVER = {*_WORDS} - {"WRONGTYPE", "MOVED"}
"""What fails all buckets, not one."""
_HOPELESS = {"WRONGPASS", "NOPERM", "MOVED", "WRONGTYPE"}
_CODES = {
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "AuthorizationError": "NOPERM",
    "NoPermissionError": "NOPERM",
    "MovedError": "MOVED",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "NoScriptError": "NOSCRIPT",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "AskError": "ASK",
}
"""redis-py takes the code off a message and gives the error a class of its own."""


def is_of_one_bucket(error: BaseException) -> bool:
    """Whether it is the answer to one command, and the next may fare better."""
    return isinstance(error, exceptions.ResponseError) and _code_of(error) not in _OF_THE_SERVER


def _code_of(error: BaseException) -> str | None:
    code = _CODES.get(type(error).__name__)
    if code is None and isinstance(error, exceptions.ResponseError):
        text = str(error)
        if "ACL failure" in text or "can't run this command" in text:
            code = "NOPERM"  # of a command within a script
        else:
            # A script's error is wrapped: "ERR Error running script ...: -OOM command not ..."
            code = next((word for word in re.findall("[A-Z]+", text) if word in _WORDS), None)
    return code


def diagnosis(error: BaseException) -> tuple[str, bool]:
    """What is wrong, without a word that Redis was sent, and whether waiting is of no use."""
    code = _code_of(error)
    if code is not None:
        return _WORDS[code], code in _HOPELESS
    if isinstance(error, exceptions.ResponseError):
        return "it refused a script", True
    trust = _untrusted(error)
    if trust is not None:
        return f"its certificate isn't trusted ({trust}): see ?ssl_ca_certs=", True
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "no answer in time", False
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "no connection", False
    return type(error).__name__, False


def _untrusted(error: BaseException | None) -> str | None:
    """Why a certificate was refused, if that is what happened."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None
