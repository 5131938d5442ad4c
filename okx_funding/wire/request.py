"""What a request looks like: the very text that is signed and sent.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

from collections.abc import Sequence

from okx_funding.endpoints import Endpoint


def build_target(endpoint: Endpoint, keys: Sequence[str]) -> str:
    """Path and query, the very text that is signed and sent; without keys, the bare path.

    Keys are of the allow-list ``[A-Za-z0-9._-]``, so nothing needs an escape. OKX verifies the
    query as it was received, hence the comma stays a comma.
    """
    return f"{endpoint.path}?{endpoint.batch_by}={','.join(keys)}" if keys else endpoint.path
