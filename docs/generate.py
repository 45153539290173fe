"""Writes the pages that are made of the code, a page a command and the data dictionary: `python -m docs.generate`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

import analysis.cli
import recorder.cli
from analysis.dictionary import View, views
from analysis.engine import Engine

__all__ = ["pages"]

FOLDER = Path(__file__).resolve().parent
_NOTE = "<!-- made by `make docs`: change the code instead -->\n"


def pages() -> dict[Path, str]:
    """Every page that is made of the code."""
    found = {FOLDER / "dictionary.md": _dictionary()}
    for program, app in (("analyze", analysis.cli.app), ("record", recorder.cli.app)):
        for each in app.registered_commands:
            assert each.callback is not None
            callback = inspect.unwrap(each.callback)
            name = f"{program} {each.name or callback.__name__}"
            found[FOLDER / "commands" / f"{name.replace(' ', '-')}.md"] = "\n".join(_command(name, callback))
    return found


def _command(name: str, callback: Callable[..., None]) -> Iterator[str]:
    hints = get_type_hints(callback, include_extras=True)
    arguments, options = [], []
    for parameter in inspect.signature(callback).parameters.values():
        kind, info = get_args(hints[parameter.name])
        if isinstance(info, ArgumentInfo):
            arguments.append(info)
        else:
            options.append(
                f"| {_option(parameter.name, kind, info)} | {_cell(info.help or '')}{_default(parameter, info)} |"
            )
    yield f"{_NOTE}\n# {name}\n\n{inspect.cleandoc(callback.__doc__ or '')}\n"
    yield f"```\n{' '.join([name, *['[OPTIONS]'] * bool(options), *(each.metavar or '' for each in arguments)])}\n```\n"
    for each in arguments:
        yield f"- `{each.metavar}`: {each.help}\n"
    if options:
        yield "\n".join(["| option | what it does |", "|---|---|", *options, ""])


def _option(name: str, kind: Any, info: OptionInfo) -> str:
    # in Annotated, typer keeps the first of the names where a default would stand
    given = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    names = ", ".join(f"`{each}`" for each in given or [f"--{name.replace('_', '-')}"])
    choices = [each for each in (get_args(kind) or (kind,)) if isinstance(each, type) and issubclass(each, Enum)]
    if kind is bool:
        return names
    value = info.metavar or ("|".join(choices[0]) if choices else name.upper())  # type: ignore[arg-type]
    return f"{names} {_cell(value)}"


def _default(parameter: inspect.Parameter, info: OptionInfo) -> str:
    if parameter.default is parameter.empty:
        return " Required."
    if parameter.default in (None, False) or not info.show_default:
        return ""
    return f" Default: {parameter.default}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _dictionary() -> str:
    lines = [
        f"{_NOTE}\n# Data dictionary\n",
        "What `analyze schema` says. K: the kernel made the value; U: user space chose it; TOCTOU: it could change",
        "between being read and taking effect; OPT: null where the kernel, the call or the options did not provide it.",
        "The views of single system calls have these columns under the kernel's names: `analyze schema mmap`.\n",
    ]
    with Engine([], whole=True) as engine:  # DuckDB knows the types of what a view computes
        types = {(view, column): type for view, column, type in engine.columns()}
    for title, kind in (("Tables, as recorded", "table"), ("Views", "view")):
        chosen = [each for each in views().values() if each.kind == kind and not _of_a_kind(each)]
        lines.append(f"## {title}\n")
        lines += [f"- [{each.name}](#{each.name}): {each.description}" for each in chosen]
        lines.append("")
        for each in chosen:
            lines += [f"### {each.name}\n", f"{each.description}\n"]
            lines.append("| column | type | unit | marks | meaning |\n|---|---|---|---|---|")
            for column in each.columns:
                cells = (column.name, types[each.name, column.name], column.unit, column.marks, column.description)
                lines.append(f"| {' | '.join(map(_cell, cells))} |")
            lines.append("")
    kinds = [each for each in views().values() if _of_a_kind(each)]
    lines += ["## Kinds of findings\n", "Each is a view with the columns of [findings](#findings).\n"]
    lines += [f"- `{each.name}`: {each.description}" for each in kinds]
    return "\n".join([*lines, ""])


def _of_a_kind(view: View) -> bool:
    return view.name.startswith("edge_")


def main() -> None:
    """Write all pages, and remove those of commands that are gone."""
    made = pages()
    for path in (FOLDER / "commands").glob("*.md"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
