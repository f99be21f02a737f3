"""The page of all commands and their options, made from what `--help` says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from engage_etl.cli.main import app

_KINDS = {int: "NUMBER", float: "NUMBER", Path: "FILE"}


def command_sections() -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Each command as it is typed, what it does, and its arguments and options with their help."""
    for words, command in commands():
        typed = " ".join(
            ("engage-etl", words, *(_argument(one) for one in command.params if one.param_type_name == "argument"))
        )
        yield typed, _plain(command.help), [_described(one) for one in command.params if one.name != "help"]


def commands() -> Iterator[tuple[str, Any]]:
    """All commands with their words, as in ``imports list``."""
    return _below(typer.main.get_command(app), "")


def _below(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    parts = getattr(command, "commands", None)
    if parts is None:
        yield words, command
        return
    for name, part in parts.items():
        yield from _below(part, f"{words} {name}".strip())


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return str(name if parameter.required else f"[{name}]")


def _described(parameter: Any) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        return f"`{_argument(parameter)}`", _plain(parameter.help)
    option = max(parameter.opts, key=len)
    if not parameter.is_flag:
        kind = _KINDS.get(parameter.type_descriptor.annotation, "TEXT")
        option = f"{option} {parameter.metavar or kind}"
    told = [_plain(parameter.help)]
    if parameter.required:
        told.append("Required.")
    elif not parameter.is_flag and parameter.default not in (None, "", ()) and not callable(parameter.default):
        told.append(f"Default: `{parameter.default}`.")
    return f"`{option}`", " ".join(told)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
