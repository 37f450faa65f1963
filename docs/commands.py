"""The page of the commands, made of the command line itself."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from typer.models import ArgumentInfo, OptionInfo

from napari_tem_rf.cli.app import app

__all__ = ["COMMANDS_MARK", "commands_page"]

COMMANDS_MARK = "<!-- commands -->"

VALUES = {bool: "", float: "NUMBER", int: "NUMBER", Path: "PATH", str: "TEXT"}


def commands_page() -> str:
    """Return a section for each command: what it does, its arguments, its options."""
    sections = []
    for command in app.registered_commands:
        if command.name is not None and command.callback is not None:
            sections.append(_section(command.name, command.callback))
    return "\n\n".join(sections)


def _section(name: str, callback: Callable[..., Any]) -> str:
    parameters = inspect.signature(callback, eval_str=True).parameters.values()
    arguments = [each for each in parameters if isinstance(each.default, ArgumentInfo)]
    options = [each for each in parameters if isinstance(each.default, OptionInfo)]
    needed = [
        f"{_names(each)[0]} {_value(each)}" for each in options if each.default.default is ...
    ]
    usage = ["napari-tem-rf", name, *map(_placeholder, arguments), *needed, "[OPTIONS]"]
    text = [f"## {name}", inspect.getdoc(callback) or "", f"```text\n{' '.join(usage)}\n```"]
    if arguments:
        rows = [f"| `{_placeholder(each)}` | {_cell(each.default.help)} |" for each in arguments]
        text.append("\n".join(["| argument | |", "|---|---|", *rows]))
    rows = [f"| {_shown(each)} | {_cell(each.default.help)}{_default(each)} |" for each in options]
    text.append("\n".join(["| option | |", "|---|---|", *rows]))
    return "\n\n".join(text)


def _placeholder(argument: inspect.Parameter) -> str:
    many = "list" in str(argument.annotation)
    return argument.name.upper() + "..." * many


def _names(option: inspect.Parameter) -> list[str]:
    declared = [each for names in option.default.param_decls or () for each in names.split("/")]
    return declared or ["--" + option.name.replace("_", "-")]


def _value(option: inspect.Parameter) -> str:
    """Return the kind of value that stands behind an option; nothing behind a switch."""
    kinds = {option.annotation, *get_args(option.annotation)} & VALUES.keys()
    return VALUES[min(kinds, key=str)] if kinds else "TEXT"


def _shown(option: inspect.Parameter) -> str:
    return ", ".join(f"`{f'{name} {_value(option)}'.strip()}`" for name in _names(option))


def _default(option: inspect.Parameter) -> str:
    shown, default = option.default.show_default, option.default.default
    if isinstance(shown, str):
        return f" Default: {shown}."
    if not shown or default is None or default is ... or default is False or default == []:
        return ""
    return f" Default: {default}."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")
