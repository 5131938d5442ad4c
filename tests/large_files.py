"""``python tests/large_files.py BYTES``: fails where a file of the repository has more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
_OURS = (".ci", "benchmarks", "docs", "examples", "okx_funding", "tests")


def files(root: Path = ROOT) -> list[Path]:
    """The files that git tracks; without git those of the project's own folders."""
    try:
        command = ["git", "ls-files", "-z"]
        tracked = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        own = [path for path in root.iterdir() if path.is_file()]
        own += [path for name in _OURS for path in (root / name).rglob("*") if path.is_file()]
        return own
    found = (root / name for name in tracked.decode().split("\0") if name)
    return [path for path in found if path.is_file()]


def too_large(most: int, root: Path = ROOT) -> Iterator[str]:
    """A line for each file of more than ``most`` bytes."""
    for path in files(root):
        if path.stat().st_size > most:
            yield f"{path.relative_to(root)} has {path.stat().st_size:,} bytes, at most {most:,}"


if __name__ == "__main__":
    sys.exit("\n".join(too_large(int(sys.argv[1]))) or 0)
