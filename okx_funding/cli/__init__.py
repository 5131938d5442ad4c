"""The command line: running one command, and what becomes of errors.

What may be typed is in ``parser``. Commands live in modules of their own, loaded when they are
run: ``--help`` needs none of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .outcome import INTERRUPTED, OK, USAGE, Failure, one_line
from .parser import make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Bad usage raises SystemExit(2), as argparse does."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    try:
        with _warnings_in_one_line():
            run: Callable[[argparse.Namespace], None] = args.run
            run(args)
            sys.stdout.flush()
    except Failure as failure:
        return _complain(str(failure), failure.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return OK


def _complain(text: str, exit_code: int) -> int:
    print(f"okx-funding: {one_line(text)}", file=sys.stderr)  # noqa: T201
    return exit_code


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"okx-funding: warning: {one_line(str(message))}", file=sys.stderr)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
