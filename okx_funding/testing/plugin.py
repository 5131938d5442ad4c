"""The entry point for pytest. To load it costs nothing: no more is imported than pytest itself.

``-p no:okx_funding`` turns it off.
"""

from __future__ import annotations

import pytest

_MARKERS = (
    "okx_exchange(**options): options of SimulatedExchange for the fixture okx_exchange",
    "okx_client(**options): options of FundingClient for the fixture okx_client",
)


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixtures; the asynchronous ones say what is missing where they can't work."""
    from . import fixtures

    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(fixtures, "okx_funding_fixtures")
    try:
        config.getini("asyncio_mode")
    except ValueError:
        from . import missing

        config.pluginmanager.register(missing, "okx_funding_missing")
    else:
        from . import asynchronous

        config.pluginmanager.register(asynchronous, "okx_funding_asynchronous")
