"""The JSON Schema of the configuration, made from the models. `dicomgate schema` prints it; `schema.json` is a copy."""

import copy
from typing import Any

from proxy.config.models_root import Configuration


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) for editors and pipelines. It cannot say everything that `dicomgate check` says."""
    schema = Configuration.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "dicomgate configuration"
    defaults = copy.deepcopy(schema["$defs"]["Tenant"])
    defaults.pop("required")
    defaults["description"] = schema["properties"]["tenant_defaults"]["description"]
    schema["properties"]["tenant_defaults"] = defaults
    _no_empty_collections(schema)
    return schema


def _no_empty_collections(node: object) -> None:
    """A list or mapping that is present but empty is an error everywhere."""
    if isinstance(node, dict):
        if node.get("type") == "array":
            node.setdefault("minItems", 1)
        elif node.get("type") == "object":
            node.setdefault("minProperties", 1)
        for key in ("default",):
            if node.get(key) in (None, [], {}):
                node.pop(key, None)
        for value in node.values():
            _no_empty_collections(value)
    elif isinstance(node, list):
        for value in node:
            _no_empty_collections(value)
