"""Observers for the systems that people watch their programs with. Each is an extra:

    pip install 'okx-funding[prometheus]'      okx_funding.observers.prometheus
    pip install 'okx-funding[opentelemetry]'   okx_funding.observers.opentelemetry

`together` joins several observers into one. None of them sees a key, a signature or a passphrase:
events hold user ids, or masked API keys where no user id is known.
"""

from __future__ import annotations

from okx_funding.events import Event, Observer
from okx_funding.scheduler.emitter import emit


def together(*observers: Observer) -> Observer:
    """One observer that tells several, each of them whatever the others raise."""

    def tell_all(event: Event) -> None:
        for observer in observers:
            emit(observer, event)

    return tell_all
