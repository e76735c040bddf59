"""The JSON Schema of the configuration, made from the models. `dicomgate schema` prints it; `schema.json` is a copy."""

import copy
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from proxy.config.models_root import Configuration

_NULL = {"type": "null"}


class _Definitions(GenerateJsonSchema):
    """Names each definition for its block in the file: `Listener`, not `ListenerModel`."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix("Model")


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) for editors and pipelines. It cannot say everything that `dicomgate check` says."""
    schema = Configuration.model_json_schema(by_alias=True, schema_generator=_Definitions)
    defaults = copy.deepcopy(schema["$defs"]["Tenant"])
    defaults.pop("required")
    defaults["description"] = schema["properties"]["tenant_defaults"]["description"]
    schema["properties"]["tenant_defaults"] = defaults
    _as_written(schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "dicomgate configuration"}
    return {**head, **{key: value for key, value in schema.items() if key not in head}}


def _as_written(node: object) -> None:
    """From what the models hold to what one may write."""
    if isinstance(node, list):
        for item in node:
            _as_written(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]  # only the key's name again
    if node.get("default") in (None, [], {}):
        node.pop("default", None)
    # Defaults are text, as in the file; an editor compares them with the type.
    if node.get("type") == "integer" and "default" in node:
        node["default"] = int(node["default"])
    if node.get("type") == "boolean" and "default" in node:
        node["default"] = node["default"] == "true"
    # A key that is left out is not null; where null may be written, its type says `const`.
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != _NULL]
        node["anyOf"] = choices
        if len(choices) == 1:
            del node["anyOf"]
            node.update({**choices[0], **node})
    # Present but empty is an error everywhere.
    if node.get("type") == "array":
        node["minItems"] = 1
    if node.get("type") == "object":
        node["minProperties"] = 1
    for value in list(node.values()):
        _as_written(value)
