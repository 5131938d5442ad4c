"""The command line: running one command, and what becomes of errors.

What may be typed is in ``parser``. Commands live in modules of their own, loaded when they are
run: ``--help`` needs none of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .outcome import ERROR, INTERRUPTED, OK, USAGE, Failure, in_options, one_line
from .parser import make_parser

_EXTRA = {"rich", "shtab"}
_INSTALL = "pip install 'okx-funding[cli]', or pip install '.[cli]' in a checkout"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Bad usage raises SystemExit(2), as argparse does."""
    words = sys.argv[1:] if argv is None else argv
    parser = make_parser(words[0] if words else None)
    args = parser.parse_args(words)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    if sys.stdout is None:  # it was closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        with _warnings_in_one_line(), _sigterm_like_ctrl_c():
            run: Callable[[argparse.Namespace], None] = args.run
            run(args)
            sys.stdout.flush()
    except Failure as failure:
        return _complain(in_options(str(failure)), failure.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # Whoever read our output has seen enough.
        _discard_output()
        return ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        return _complain(f"this command needs {error.name}: {_INSTALL}", ERROR)
    except OSError as error:  # such as a full disk below standard output
        _discard_output()
        return _complain(f"can't go on: {error.strerror or error}", ERROR)
    return OK


def _discard_output() -> None:
    """The interpreter must not flush at its end into what can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, exit_code: int) -> int:
    print(f"okx-funding: {one_line(text)}", file=sys.stderr)  # noqa: T201
    return exit_code


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Supervisors and ``timeout`` end a command by SIGTERM: files and journals are closed then."""
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    shown: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) in shown:
            return
        shown.add(str(message))
        print(f"okx-funding: warning: {one_line(in_options(str(message)))}", file=sys.stderr)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
