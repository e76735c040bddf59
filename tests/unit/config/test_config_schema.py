"""The JSON Schema: valid, equal to its committed copy, and as strict as the loader where a schema can be."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.config.schema import json_schema
from tests.support.configs import PLAIN

COPY = Path(__file__).parents[3] / "proxy" / "config" / "schema.json"


def test_the_committed_copy_equals_the_models() -> None:
    assert json.loads(COPY.read_text()) == json_schema(), (
        "write it again with `dicomgate schema > proxy/config/schema.json`"
    )


def test_it_is_a_schema_and_takes_a_good_configuration() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(PLAIN))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("colour", "red"),
        ("listeners", {}),
        ("include", []),
        ("tenant_defaults", {"colour": "red"}),
        ("timeouts", {"artim": 10}),
        ("limits", {"presentation_contexts": 129}),
        ("admin", "127.0.0.1:9280"),
        ("log", {"level": None}),
    ],
)
def test_it_refuses_what_the_loader_refuses(key: str, value: object) -> None:
    document: dict[str, Any] = {**yaml.safe_load(PLAIN), key: value}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)


def test_allow_is_mandatory_unless_the_action_is_refuse() -> None:
    document = yaml.safe_load(PLAIN)
    (peer,) = document["tenants"]["hospital"]["peers"]
    del peer["allow"]
    schema = jsonschema.Draft202012Validator(json_schema())
    assert not schema.is_valid(document)
    peer["action"] = "refuse"
    assert schema.is_valid(document)


def test_every_key_is_described() -> None:
    schema = json_schema()
    places = {"": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, place in places.items()
        for key, value in place.get("properties", {}).items()
        if "description" not in value and "$ref" not in value  # a reference has the description of its model
    ]
    assert bare == []


def test_defaults_have_the_type_of_their_key() -> None:
    definitions = json_schema()["$defs"]
    for place in definitions.values():
        for value in place.get("properties", {}).values():
            if "default" in value:
                jsonschema.Draft202012Validator({**value, "$defs": definitions}).validate(value["default"])
