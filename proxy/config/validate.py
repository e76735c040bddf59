"""Turns the tree into the models. Errors of pydantic become findings with position, key and a sentence."""

import itertools
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from proxy.config.findings import MAXIMUM_FINDINGS, Findings, locate
from proxy.config.models_root import Configuration
from proxy.config.nearest import did_you_mean
from proxy.config.quoting import shown
from proxy.config.tree import Block

# From this likeness on (0 to 1) an unknown key counts as a misspelling. Below it, a key with exactly this name in
# another mapping is the better suggestion.
_MISSPELT = 0.85
_PLACES_NAMED = 3  # at most, for a key that many mappings have


def validate(root: Block, report: Findings) -> Configuration | None:
    """Return the models, or None after adding the errors to `report`."""
    try:
        return Configuration.model_validate(root)
    except ValidationError as error:
        for details in error.errors(include_url=False)[:MAXIMUM_FINDINGS]:
            _report(details, root, report)
        return None


def _report(details: ErrorDetails, root: Block, report: Findings) -> None:
    kind, location = details["type"], details["loc"]
    context, value = details.get("ctx", {}), details["input"]
    code, message, key = "E110", details["msg"], False
    if location[-1:] == ("[key]",):  # pydantic's last step for a wrong key of a dict, as opposed to its value
        location, key = location[:-1], True
    match kind:
        case "value_error":
            message = str(context["error"])
        case "extra_forbidden":
            code, message, key = "E111", _unknown_key(location), True
        case "missing":
            code, message, key = "E112", "is missing", True
        # The two errors of a discriminated union, which has the key `type` as its tag.
        case "union_tag_not_found":
            code, message, location, key = "E112", "is missing", (*location, "type"), True
        case "union_tag_invalid":
            location = (*location, "type")
            message = f"{shown(str(context['tag']))} is not one of {context['expected_tags'].replace(chr(39), '')}"
        case "literal_error":  # pydantic writes the choices as `'a', 'b' or 'c'`
            expected = context["expected"].replace("'", "").replace(" or ", ", ")
            message = f"must be one of {expected}"
            if isinstance(value, str):
                message = f"{shown(value)} is not one of {expected}" + did_you_mean(value, expected.split(", "))
        case "list_type":
            message = f"must be a list: write [{value}]" if isinstance(value, str) and value else "must be a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            known = _keys(Configuration, location)
            message = "must be a mapping" + (f" of {', '.join(known)}" if known else "")
    mark, path = locate(root, location, key=key)
    report.add(code, mark, path, message)


def _unknown_key(location: tuple[int | str, ...]) -> str:
    known, key = _keys(Configuration, location[:-1]), str(location[-1])
    hint = did_you_mean(key, known, cutoff=_MISSPELT) or _belongs_under(key, location) or did_you_mean(key, known)
    return "unknown key" + (hint or f"; expected one of {', '.join(known)}")


def _belongs_under(key: str, location: tuple[int | str, ...]) -> str:
    """Return e.g. `; it belongs under listeners.*.tls`, with the mappings nearest to `location` that have the key."""
    places = [place for name, place in _places(Configuration, ()) if name == key]
    common = [_common(place, location) for place in places]
    near = [place for place, shared in zip(places, common, strict=True) if shared == max(common)]
    named = ["under " + ".".join(place) if place else "at the top level" for place in sorted(near, key=len)]
    return f"; it belongs {' or '.join(named[:_PLACES_NAMED])}" if named else ""


def _common(place: tuple[str, ...], location: tuple[int | str, ...]) -> int:
    """Return the number of steps from the top that the two paths share. `*` stands for any step."""
    pairs = zip(place, location, strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] in ("*", pair[1]), pairs)))


def _places(annotation: Any, place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each key of the models, with the path of the mapping that it belongs to."""
    origin = typing.get_origin(annotation)
    if origin in (list, dict):
        yield from _places(typing.get_args(annotation)[-1], (*place, "*"))
    elif origin is not None:
        for choice in typing.get_args(annotation):
            yield from _places(choice, place)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield field.alias or name, place
            yield from _places(field.annotation, (*place, field.alias or name))


def _keys(annotation: Any, location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the model at `location`, or of all models there for a union."""
    models = [
        found for found in _step(annotation, location) if isinstance(found, type) and issubclass(found, BaseModel)
    ]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _step(annotation: Any, location: tuple[int | str, ...]) -> list[Any]:
    """Return the types at `location` below a type: several for a union, none if the location does not exist."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        # In a location of pydantic the tag of a discriminated union is a step of its own, which the text does not have.
        tag = next((extra.tag for extra in arguments[1:] if isinstance(extra, Tag)), None)
        if tag is not None:
            return _step(arguments[0], location[1:]) if location[:1] == (tag,) else []
        return _step(arguments[0], location)
    if origin in (typing.Union, types.UnionType):
        return [found for choice in arguments for found in _step(choice, location)]
    if not location:
        return [annotation]
    if origin in (list, dict):
        return _step(arguments[-1], location[1:])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if location[0] == (field.alias or name):
                return _step(field.annotation, location[1:])
    return []
