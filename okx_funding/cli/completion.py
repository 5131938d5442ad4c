"""``okx-funding completion SHELL``: prints a script that completes, made from the parser."""

from __future__ import annotations

import argparse
import sys

import shtab

from .parser import make_parser


def completion(args: argparse.Namespace) -> None:
    """Print the script for ``args.shell``."""
    sys.stdout.write(shtab.complete(make_parser(), shell=args.shell))
    sys.stdout.write("\n")
