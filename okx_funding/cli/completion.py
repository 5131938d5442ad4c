"""``okx-funding completion SHELL``: scripts that complete, made from the parser itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .parser import make_parser

_PROGRAM = "okx-funding"


@dataclass(frozen=True, slots=True)
class Word:
    """A command or an option: ``takes`` a value, one of ``choices`` if there are any."""

    text: str
    help: str
    takes: bool = False
    choices: tuple[str, ...] = ()


def completion(args: argparse.Namespace) -> None:
    """Print the script for ``args.shell``."""
    commands = _commands()
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    sys.stdout.write(scripts[args.shell](commands))


def _commands() -> dict[Word, list[Word]]:
    """Each command, and what may follow it: options, and choices of its arguments."""
    parser = make_parser()
    (subparsers,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    helps = {action.dest: action.help or "" for action in subparsers._choices_actions}
    return {
        Word(name, helps[name]): [word for action in sub._actions for word in _words(action)]
        for name, sub in subparsers.choices.items()
    }


def _words(action: argparse.Action) -> Iterable[Word]:
    help_text = action.help or ""
    choices = tuple(map(str, action.choices or ()))
    if not action.option_strings:
        return [Word(choice, help_text) for choice in choices]
    takes = action.nargs != 0
    long = [option for option in action.option_strings if option.startswith("--")]
    return [Word(option, help_text, takes, choices) for option in long]


def _texts(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


def _bash(commands: dict[Word, list[Word]]) -> str:
    cases = "\n".join(
        f'        {command.text}) words="{_texts(words)}" ;;' for command, words in commands.items()
    )
    taking = sorted({word.text for words in commands.values() for word in words if word.takes})
    return f"""\
# bash completion of {_PROGRAM}; made by: {_PROGRAM} completion bash
_okx_funding() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" words
    COMPREPLY=()
    case "$previous" in
        {"|".join(taking)}) return ;;
    esac
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) words="{_texts(commands)} --version --help" ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then words="{_texts(commands)} --version --help"; fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _okx_funding {_PROGRAM}
"""


def _zsh(commands: dict[Word, list[Word]]) -> str:
    described = "\n".join(
        f"        {_quoted(f'{command.text}:{command.help}')}" for command in commands
    )
    cases = "\n".join(
        f"        {command.text}) _arguments -s {' '.join(_zsh_specs(words))} ;;"
        for command, words in commands.items()
    )
    return f"""\
#compdef {_PROGRAM}
# zsh completion of {_PROGRAM}; made by: {_PROGRAM} completion zsh
_okx-funding() {{
    local -a commands=(
{described}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        _arguments '--version[show the version]' '--help[show the help]'
        return
    fi
    local command="$words[2]"
    shift words
    (( CURRENT-- ))
    case "$command" in
{cases}
    esac
}}
if [ "$funcstack[1]" = "_okx-funding" ]; then _okx-funding "$@"; else
    compdef _okx-funding {_PROGRAM}
fi
"""


def _zsh_specs(words: Iterable[Word]) -> Iterator[str]:
    choices = []
    for word in words:
        if word.text.startswith("--"):
            help_text = word.help.replace("[", "(").replace("]", ")")
            value = f":value:({' '.join(word.choices)})" if word.takes else ""
            yield _quoted(f"{word.text}[{help_text}]{value}")
        else:
            choices.append(word)
    yield _quoted(f"*:argument:({_texts(choices)})" if choices else "*:argument:_nothing")


def _fish(commands: dict[Word, list[Word]]) -> str:
    lines = [f"# fish completion of {_PROGRAM}; made by: {_PROGRAM} completion fish"]
    lines.append(f"complete -c {_PROGRAM} -f")
    first = "-n __fish_use_subcommand"
    for option, text in (("version", "show the version"), ("help", "show the help")):
        lines.append(f"complete -c {_PROGRAM} {first} -l {option} -d {_quoted(text)}")
    for command, words in commands.items():
        lines.append(f"complete -c {_PROGRAM} {first} -a {command.text} -d {_quoted(command.help)}")
        here = f"-n {_quoted(f'__fish_seen_subcommand_from {command.text}')}"
        for word in words:
            what = (
                f"-l {word.text.removeprefix('--')}"
                if word.text.startswith("--")
                else f"-a {word.text}"
            )
            value = " -x" if word.takes else ""
            chosen = f" -a {_quoted(' '.join(word.choices))}" if word.choices else ""
            lines.append(
                f"complete -c {_PROGRAM} {here} {what}{value}{chosen} -d {_quoted(word.help)}"
            )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """In single quotes, for all three shells."""
    return "'" + text.replace("'", "'\\''") + "'"
