"""Observers for the systems that people watch their programs with. Each is an extra:

    pip install 'okx-funding[prometheus]'      okx_funding.telemetry.prometheus
    pip install 'okx-funding[opentelemetry]'   okx_funding.telemetry.opentelemetry

`together` joins several observers into one. None of them sees a key, a signature or a passphrase:
events hold user ids, or masked API keys where no user id is known.
"""

from __future__ import annotations

import logging

from okx_funding.telemetry.events import Event, Observer

logger: logging.Logger = logging.getLogger("okx_funding.observers")


def emit(observer: Observer, event: Event) -> None:
    """Tell an observer; what it raises is logged and harms nobody."""
    try:
        observer(event)
    except Exception:
        logger.exception("an observer failed at %s", type(event).__name__)


def together(*observers: Observer) -> Observer:
    """One observer that tells several, each of them whatever the others raise."""

    def tell_all(event: Event) -> None:
        for observer in observers:
            emit(observer, event)

    return tell_all
