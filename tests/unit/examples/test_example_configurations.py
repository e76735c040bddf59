"""Every example loads without unexpected findings and uses only the unbuilt features listed here.

examples/reference.yaml shows every key with the default of the models.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from proxy.config.assemble import assemble, without_defaults
from proxy.config.fields import null
from proxy.config.files import Files
from proxy.config.findings import Findings
from proxy.config.load import Loaded, load
from proxy.config.models_root import Configuration
from proxy.config.tree import Block, Items, Node, Text
from proxy.config.validate import validate
from tests.support import certs
from tests.support.configs import write_key, write_pair

EXAMPLES = Path(__file__).parents[3] / "examples"
SCHEMA = Path(__file__).parents[3] / "proxy" / "config" / "schema.json"

UNBUILT = {
    "client-certificates.yaml": [],
    "egress.yaml": [],
    "pool.yaml": [],
    "reference.yaml": ["identity_providers", "tenants.hospital.peers.0.user"],
    "single-pacs.yaml": [],
    "tenants-by-sni.yaml": [],
    "user-identity.yaml": [
        "identity_providers",
        "tenants.hospital.peers.0.user",
        "tenants.hospital.peers.1.user",
        "tenants.hospital.user_identity.mode",
        "tenants.hospital.user_identity.providers",
    ],
}  # fmt: skip

WARNINGS = {
    "reference.yaml": ["W202 tenants.hospital.peers.0.cert"],
    # Its listener requests certificates for all tenants, and clinic-a trusts no CA.
    "tenants-by-sni.yaml": ["W208 tenants.clinic-a.tls"],
}

#: Edits that make reference.yaml loadable: it shows empty lists, which a file leaves out, and names an upstream `ris`.
REFERENCE_EDITS = (
    (r"^include: \[\].*$", ""),
    (r"^ +revoked: \[\].*$", ""),
    (r"^tenant_defaults: \{\}.*$", ""),
    (r"^ +providers: \[\].*$", ""),
    (r"^ +(sha256|spki_sha256|ca): \[\].*$", ""),
    (r"^  pacs: +# \(example\)$", '  ris: {servers: [{address: "10.20.0.6:104"}]}\n  pacs:'),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all examples and every file that they name."""
    folder = tmp_path_factory.mktemp("examples")
    root = certs.ca("Server CA")
    files = folder / "certs"
    names = ("pacs.example.org", "*.rad.example.org")
    both = (certs.SERVER, certs.CLIENT)  # pacs.pem is shown to senders, and to remote sites
    write_pair(files, certs.leaf("pacs", root, eku=both, dns=names), "pacs")
    write_pair(files, certs.leaf("site", root), "site")
    write_pair(files, certs.leaf("pacs", root, eku=(certs.SERVER,)), "pacs-ecdsa")
    write_pair(files, certs.leaf("pacs", root, eku=(certs.SERVER,), kind="rsa2048"), "pacs-rsa")
    write_pair(files, certs.leaf("default", root, eku=(certs.SERVER,)), "default")
    for clinic, dns in {
        "clinic-a": ["clinic-a.pacs.example.com"],
        "clinic-b": ["clinic-b.pacs.example.com", "*.b.pacs.example.com"],
    }.items():
        write_pair(files / clinic, certs.leaf(clinic, root, eku=(certs.SERVER,), dns=dns), "tls")
        (files / clinic / "tls.pem").rename(files / clinic / "tls.crt")
    write_key(folder / "pacs-ecdsa.key", (files / "pacs-ecdsa.key").read_bytes())
    (files / "ct1.pem").write_bytes(certs.self_signed("CT1").pem)
    devices = certs.ca("Devices 2026")
    (files / "devices-2024.pem").write_bytes(certs.ca("Devices 2024").pem)
    (files / "devices-2026.pem").write_bytes(devices.pem)
    (files / "devices-2026.crl.pem").write_bytes(certs.crl(devices))
    (files / "clinic-b-devices.pem").write_bytes(certs.ca("Clinic B devices").pem)
    (files / "sites-ca.pem").write_bytes(certs.ca("Sites").pem)
    for example in EXAMPLES.glob("*.yaml"):
        (folder / example.name).write_text(edited(example))
    return folder


def edited(example: Path) -> str:
    text = example.read_text()
    for pattern, replacement in REFERENCE_EDITS if example.name == "reference.yaml" else ():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count >= 1, pattern
    return text


def loaded(folder: Path, name: str) -> Loaded:
    return load(folder / name, environ={"HOOK_TOKEN": "x", "CREDENTIALS_DIRECTORY": str(folder)})


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == set(UNBUILT)


@pytest.mark.parametrize("name", UNBUILT)
def test_an_example_parses_and_names_exactly_what_is_not_built(folder: Path, name: str) -> None:
    errors = [finding for finding in loaded(folder, name).findings if finding.severity == "error"]
    assert sorted(finding.path for finding in errors if finding.code == "E900") == sorted(UNBUILT[name])
    assert [str(finding) for finding in errors if finding.code != "E900"] == []


@pytest.mark.parametrize("name", UNBUILT)
def test_an_example_is_no_example_of_what_one_is_warned_of(folder: Path, name: str) -> None:
    # Certificates of tests live for 30 days, so that each gets W301.
    warnings = [finding for finding in loaded(folder, name).findings if finding.severity == "warning"]
    assert [f"{finding.code} {finding.path}" for finding in warnings if finding.code != "W301"] == WARNINGS.get(
        name, []
    )


def test_the_reference_says_itself_what_must_be_left_out(folder: Path) -> None:
    (folder / "whole.yaml").write_text((EXAMPLES / "reference.yaml").read_text())
    findings = loaded(folder, "whole.yaml").findings
    assert {finding.code for finding in findings if finding.severity == "error"} == {"E106", "E201", "E900"}


class Yaml12Loader(yaml.SafeLoader):
    """YAML 1.2, as editors read it: `off` and `ON` are text."""


Yaml12Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.mark.parametrize("name", UNBUILT)
def test_an_example_is_valid_by_the_schema(name: str) -> None:
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    document = yaml.load(edited(EXAMPLES / name), Loader=Yaml12Loader)
    jsonschema.Draft202012Validator(schema).validate(document)


def reference(folder: Path) -> tuple[Block, Configuration]:
    """The reference as a tree with positions, and as models."""
    report = Findings()
    root = assemble(str(folder / "reference.yaml"), {}, Files(), report)
    assert root is not None
    configuration = validate(without_defaults(root), report)
    assert configuration is not None, report.in_order
    return root, configuration


def shown_defaults(node: Node, value: object) -> Iterator[tuple[FieldInfo, Node]]:
    """Each optional key that the reference shows, with the field of the model that reads it."""
    if isinstance(node, Block) and isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            key = field.alias or name
            if key in node:
                if not field.is_required():
                    yield field, node[key]
                yield from shown_defaults(node[key], getattr(value, name))
    elif isinstance(node, Block) and isinstance(value, dict):
        for key, child in node.items():
            yield from shown_defaults(child, value.get(key))
    elif isinstance(node, Items) and isinstance(value, list):
        for child, item in zip(node, value, strict=True):
            yield from shown_defaults(child, item)


def test_the_reference_shows_the_defaults_of_the_models(folder: Path) -> None:
    lines = (folder / "reference.yaml").read_text().splitlines()
    root, configuration = reference(folder)
    shown = list(shown_defaults(root, configuration))
    for field, node in shown:
        line = lines[node.mark.line - 1]
        takes_null = any(isinstance(each, BeforeValidator) and each.func is null for each in field.metadata)
        if isinstance(node, Text) and node.is_null:
            assert takes_null, line
            assert field.default is None, line
        elif field.default is None:
            # The key has no default, so that its value in the file is an example.
            assert not takes_null or not isinstance(node, Text) or "(example" in line, line
        elif field.default != {}:  # a mapping shows the defaults of its own keys
            assert node == field.default, line
    assert len(shown) > 80


def test_the_reference_names_every_key() -> None:
    text = (EXAMPLES / "reference.yaml").read_text()
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    keys = {key for place in (schema, *schema["$defs"].values()) for key in place.get("properties", {})}
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []
