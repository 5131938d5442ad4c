"""``python -m okx_funding`` is ``okx-funding``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
