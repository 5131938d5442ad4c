"""The facts about OKX's endpoints, and a caller that notes what would be sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from okx_funding.api.table import ENDPOINTS, Reads

OKX = Path(__file__).parents[2] / "data" / "okx"
FACTS: dict[str, dict[str, Any]] = {
    fact["name"]: fact
    for fact in json.loads((OKX / "endpoints.json").read_text("utf-8"))["endpoints"]
}


def snake(name: str) -> str:
    """OKX's name as it is spelt here: each capital is a word of its own."""
    text = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
    return text + "_" if text == "from" else text


def samples() -> Iterable[tuple[str, dict[str, Any]]]:
    """The name of each endpoint with each printed or recorded answer of it."""
    names = {(each.method, each.path): each.name for each in ENDPOINTS.values()}
    for path in sorted((OKX / "samples").glob("*.json")):
        sample = json.loads(path.read_text("utf-8"))
        for response in sample["responses"]:
            yield names[sample["method"], sample["path"]], response["body"]


class Noting(Reads):
    """Notes what would be sent and answers nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.row: Any = None

    async def _rows(self, endpoint, params, options):
        given = {name: value for name, value in params.items() if value is not None}
        self.sent.append((endpoint.name, given, dict(options)))
        return []

    async def _row(self, endpoint, params, options):
        await self._rows(endpoint, params, options)
        return self.row
