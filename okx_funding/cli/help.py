"""``okx-funding --help``: commands in groups, one line each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping


def grouped(groups: Mapping[str, str]) -> type[argparse.RawDescriptionHelpFormatter]:
    """A formatter that shows a parser's commands below the titles that ``groups`` has for them."""

    class GroupedHelp(argparse.RawDescriptionHelpFormatter):
        def __init__(self, prog: str) -> None:
            super().__init__(prog, max_help_position=40)

        def _format_action(self, action: argparse.Action) -> str:
            commands = list(self._iter_indented_subactions(action))
            if not commands:
                return super()._format_action(action)
            parts = []
            for title in dict.fromkeys(groups[each.dest] for each in commands):
                parts.append(f"{' ' * self._current_indent}{title}:\n")
                self._indent()
                parts += [
                    super(GroupedHelp, self)._format_action(each)
                    for each in commands
                    if groups[each.dest] == title
                ]
                self._dedent()
            return "".join(parts)

    return GroupedHelp
