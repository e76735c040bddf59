"""The figures of one checkout or more as JSON, or as a Markdown table with one column each."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.figures import duplicates, imports, prose, shape, sources, trips

_TRIP = "calls / rooms (folders) / stays / returns / climbs"


@dataclass(frozen=True)
class Figures:
    """All that is measured of one checkout. `trips` is empty where none was made."""

    shape: shape.Shape
    imports: imports.Imports
    prose: prose.Prose
    duplicates: list[str]
    trips: dict[str, trips.Trip]


def measure(checkout: Path, *, with_trips: bool) -> Figures:
    """Measure the `proxy` folder of a checkout; the trips take half a minute."""
    files = sources.read_sources(checkout)
    return Figures(
        shape.measure(files),
        imports.measure(files),
        prose.measure(files),
        list(map(str, duplicates.find(files))),
        trips.measure(checkout, sources.layers(checkout)) if with_trips else {},
    )


def as_json(figures: dict[str, Figures]) -> str:
    """An object with the figures of each checkout by its name."""
    return json.dumps({name: dataclasses.asdict(found) for name, found in figures.items()}, indent=2)


def as_markdown(figures: dict[str, Figures]) -> str:
    """A table of all figures, and below it the places that are worth a look, of the last checkout."""
    columns = [_rows(found) for found in figures.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    lines = [f"| | {' | '.join(figures)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {name} | {' | '.join(column.get(name, '') for column in columns)} |" for name in names]
    for title, places in _places(list(figures.values())[-1]).items():
        if places:
            lines += ["", f"{title}:", "", *(f"- {place}" for place in places)]
    return "\n".join(lines)


def _rows(found: Figures) -> dict[str, str]:
    shape_, graph, prose_ = found.shape, found.imports, found.prose
    rows: dict[str, Any] = {
        "files / lines": f"{shape_.files} / {shape_.lines}",
        "functions": shape_.functions,
        "function median / p90 / max": _spread(shape_.function_lengths),
        f"functions > {shape.LONG_FUNCTION} lines": len(shape_.long_functions),
        "file median / p90 / max": _spread(shape_.file_lengths),
        f"files > {shape.LARGE_FILE} / > {shape.TOO_LARGE_FILE} lines": (
            f"{len(shape_.large_files)} / {len(shape_.too_large_files)}"
        ),
        "comments, share of lines": f"{shape_.comment_share} %",
        "docstrings, share of lines": f"{shape_.docstring_share} %",
        f"classes > {shape.MANY_METHODS} methods": len(shape_.classes_of_many_methods),
        "class names used twice or more": len(shape_.repeated_class_names),
        f"parameters > {shape.MANY_PARAMETERS}": len(shape_.many_parameters),
        f"nesting >= {shape.DEEP}": len(shape_.deep_functions),
        "Any / type-ignore / noqa": f"{shape_.anys} / {shape_.type_ignores} / {shape_.noqas}",
        "modules without docstring": len(shape_.modules_without_docstring),
        "folders / arrows between them": f"{graph.folders} / {graph.arrows_between_folders}",
        "circles between files": len(graph.circles),
        "net: files / arrows / run up / floors": (
            f"{graph.net_files} / {graph.net_arrows} / {graph.net_upward} / {graph.net_floors or 'none, for a circle'}"
        ),
        f"duplicates of {duplicates.LEAST} lines or more": len(found.duplicates),
        "docstrings: all / begin with a clause / with a pronoun": (
            f"{prose_.docstrings} / {prose_.clauses} / {prose_.pronouns}"
        ),
        **{f'"{word}" in comments and docstrings': count for word, count in prose_.words.items()},
        **{f"{name}: files / lines / function lengths": _layer(layer) for name, layer in shape_.layers.items()},
        **{
            f"trip: {name}: calls / rooms (folders) / stays / returns / climbs": _trip(t)
            for name, t in found.trips.items()
        },
    }
    return {name: str(value) for name, value in rows.items()}


def _places(found: Figures) -> dict[str, Sequence[str]]:
    return {
        f"Functions > {shape.LONG_FUNCTION} lines": found.shape.long_functions,
        f"Files > {shape.LARGE_FILE} lines": found.shape.large_files,
        f"Classes > {shape.MANY_METHODS} methods": found.shape.classes_of_many_methods,
        "Class names used twice or more": found.shape.repeated_class_names,
        f"Parameters > {shape.MANY_PARAMETERS}": found.shape.many_parameters,
        f"Nesting >= {shape.DEEP}": found.shape.deep_functions,
        "Modules without docstring": found.shape.modules_without_docstring,
        "Circles": [", ".join(circle) for circle in found.imports.circles],
        "Duplicates": found.duplicates,
    }


def _spread(values: tuple[int, int, int]) -> str:
    return " / ".join(map(str, values))


def _layer(layer: shape.Layer) -> str:
    return f"{layer.files} / {layer.lines} / {_spread(layer.function_lengths)}"


def _trip(trip: trips.Trip) -> str:
    return f"{trip.calls} / {trip.rooms} ({trip.folders}) / {trip.stays} / {trip.returns} / {trip.climbs}"
