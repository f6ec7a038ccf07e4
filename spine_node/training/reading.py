"""From a TOML table to a frozen dataclass, or to a sentence that says what is wrong with it.

Standard library only, so that a training machine needs no package for it. A key that does not exist is
refused with the nearest that does: a misspelt setting is never silently without effect.
"""

from __future__ import annotations

import difflib
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from spine_node.errors import ConfigRefused

Kind = TypeVar("Kind")

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}


def read_table(kind: type[Kind], table: Any, place: str, hidden: tuple[str, ...] = ()) -> Kind:
    """An instance of the dataclass `kind` from a table of that shape.

    Parameters
    ----------
    kind : type
        A dataclass of numbers, text, truths, paths, tuples, dicts and other such dataclasses.
    table : dict
        As `tomllib` reads it.
    place : str
        Where the table stands, for the message: "config/train.toml: [architecture]".
    hidden : tuple of str
        Fields that are no keys.

    Raises
    ------
    ConfigRefused
        If a key does not exist or a value has another type or is refused by `kind` itself.
    """
    values = read_values(kind, table, place, hidden)
    try:
        return kind(**values)
    except (TypeError, ValueError) as problem:
        raise ConfigRefused(f"{place}: {problem}.") from problem


def read_values(kind: type, table: Any, place: str, hidden: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same, as values by field: for tables of which a part is read elsewhere."""
    if not isinstance(table, dict):
        raise ConfigRefused(f"{place}: a table was expected, not {table!r}.")
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind) if f.name not in hidden]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigRefused(f"{place}: {unknown(key, known)}")
        values[key] = _read(hints[key], value, f"{place}: {key}")
    return values


def unknown(key: str, known: list[str]) -> str:
    """That a key does not exist, and which was perhaps meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    return f"{key} is not a key; {hint}"


def _read(hint: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        choices = [choice for choice in inner if choice is not type(None)]
        for choice in choices:
            try:
                return _read(choice, value, place)
            except ConfigRefused:
                continue
        raise ConfigRefused(f"{place}: {' or '.join(map(_words, choices))} was expected, not {value!r}.")
    if origin is Literal:
        if value not in inner:
            raise ConfigRefused(f"{place}: {_words(hint)} was expected, not {value!r}.")
        return value
    if origin is tuple and isinstance(value, list):
        each = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(each) != len(value):
            raise ConfigRefused(f"{place}: {len(each)} values were expected, not {value!r}.")
        return tuple(_read(kind, v, place) for kind, v in zip(each, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: _read(inner[1], v, f"{place}.{key}") for key, v in value.items()}
    if hasattr(hint, "__dataclass_fields__"):
        return read_table(hint, value, place)
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigRefused(f"{place}: {_words(hint)} was expected, not {value!r}.")


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list ({_words(get_args(hint)[0])} each)"
    if get_origin(hint) is dict:
        return f"a table ({_words(get_args(hint)[1])} each)"
    return _WORDS.get(hint, "a table")
