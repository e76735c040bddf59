import copy
import importlib.resources
import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from proxy.observe.access import (
    MAX_CONTEXTS,
    SCHEMA_VERSION,
    AccessRecord,
    InstanceCount,
    OperationCount,
    refused_contexts,
)
from proxy.observe.json_values import MAX_TEXT
from proxy.pdu.model import PresentationContext, PresentationContextResult, Span
from proxy.policy import Ended, Reason, Reject, Step, StepOutcome, VerifiedCertificate

SCHEMA = json.loads(importlib.resources.files("proxy.observe").joinpath("access_record.schema.json").read_text())


def closed(schema: Any) -> Any:
    """Return the schema with every object closed: it then refuses a field that it does not describe."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    return {"additionalProperties": False, **parts} if schema.get("type") == "object" else parts


def check(record: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(closed(copy.deepcopy(SCHEMA))).validate(json.loads(json.dumps(record)))


def described(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every field of the schema, nested ones included, and its description."""
    for name, part in schema.get("properties", {}).items():
        yield f"{path}{name}", part.get("description", "")
        yield from described(part, f"{path}{name}.")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from described(inner, f"{path}*.")


def full() -> AccessRecord:
    """Return a record with every field set."""
    record = AccessRecord("a1b2", 1_700_000_000.25, "dicom-tls")
    record.tenant, record.peer, record.decision, record.rule = "hospital", "ct1", "accepted", "ct1"
    record.reason, record.detail, record.answer = Reason.UPSTREAM_REJECTED, "the PACS said no", Reject(1, 1, 7)
    record.would_refuse = (Reason.CALLED_AET_UNKNOWN,)
    record.client_ip, record.client_port = ipaddress.ip_address("10.0.0.7"), 40000
    record.client_via, record.client_proxy = "proxy_header", ipaddress.ip_address("10.0.0.1")
    record.sni, record.tls_version, record.tls_cipher = "pacs.example.org", "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    record.certificate = VerifiedCertificate(
        "ab" * 32, "c3BraQ==", "CN=CT1", ("CT1",), ("ct1.example.org",), ("spiffe://x/ct1",), (), "1f", 1.8e9
    )
    record.certificate_ca = ("hospital-2026",)
    record.calling_aet, record.called_aet = "CT1", "MAINPACS"
    record.forwarded_calling_aet, record.forwarded_called_aet = "CT1", "PACS"
    record.implementation_class_uid, record.implementation_version_name = "1.2.3", "OFFIS_DCMTK_367"
    record.max_pdu, record.user_type, record.user_name = 16384, 2, "alice"
    record.contexts_proposed, record.contexts_kept, record.contexts_accepted = 3, 2, 1
    proposed = (
        PresentationContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",), Span(0, 1)),
        PresentationContext(3, "1.2.3.4", ("1.2.840.10008.1.2", "1.2.5"), Span(1, 2)),
        PresentationContext(5, "1.2.3.5", ("1.2.5",), Span(2, 3)),
    )
    results = (
        PresentationContextResult(1, 0, "1.2.840.10008.1.2", Span(0, 1)),
        PresentationContextResult(5, 4, None, Span(1, 2)),
    )
    record.contexts_refused = refused_contexts(proposed, frozenset({1, 5}), results)
    record.upstream, record.server, record.upstream_setup_s = "pacs", "10.20.0.5:104", 0.0123
    record.upstream_tls = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    record.bytes_in, record.bytes_out, record.pdus_in, record.pdus_out = 2**40, 300, 12, 5
    record.dimse = {"C-STORE": OperationCount(5, 3, 1, 1, 0, 0.1234567), "C-FIND": OperationCount(refused=2)}
    record.instances = {"ct": InstanceCount(5, 2**40)}
    record.refused_operations = ("C-FIND from the requestor",)
    record.observed_operations = ("C-MOVE to 'ELSEWHERE'",)
    record.ended, record.duration_s = Ended.RELEASED, 1.23456789
    record.trace = (Step("peer", StepOutcome.PASS, "peer ct1 matches", "config.yaml:15"),)
    return record


def test_the_full_record_fits_the_schema_and_fills_it() -> None:
    record = full().to_dict(1_700_000_001.5)
    check(record)
    assert record.keys() == SCHEMA["properties"].keys()
    assert record["ts"] == "2023-11-14T22:13:21.500Z"
    assert record["ts_start"] == "2023-11-14T22:13:20.250Z"
    assert record["answer"] == "A-ASSOCIATE-RJ 1/1/7 (called AE title not recognized)"
    assert record["rj"] == {"result": 1, "source": 1, "reason": 7}
    assert record["dimse"] == {
        "C-STORE": {"n": 5, "ok": 3, "warn": 1, "fail": 1, "refused": 0, "seconds": 0.123457},
        "C-FIND": {"n": 0, "ok": 0, "warn": 0, "fail": 0, "refused": 2},
    }
    assert record["instances"] == {"ct": {"n": 5, "bytes": 2**40}}
    assert record["client"] == {"ip": "10.0.0.7", "port": 40000, "via": "proxy_header", "proxy": "10.0.0.1"}
    assert record["contexts"] == {
        "proposed": 3,
        "kept": 2,
        "accepted": 1,
        "refused": [
            {
                "id": 3,
                "abstract_syntax": "1.2.3.4",
                "transfer_syntaxes": ["1.2.840.10008.1.2", "1.2.5"],
                "by": "gateway",
            },
            {"id": 5, "abstract_syntax": "1.2.3.5", "transfer_syntaxes": ["1.2.5"], "by": "upstream", "result": 4},
        ],
    }


def test_unknown_fields_are_left_out() -> None:
    record = AccessRecord("a1", 0.0, "dicom-tls").to_dict(0.0)
    check(record)
    assert record.keys() == set(SCHEMA["required"])
    assert record["client"] == {"via": "socket"}


def test_the_schema_knows_every_reason_and_every_end() -> None:
    properties = SCHEMA["properties"]
    assert properties["schema"]["const"] == SCHEMA_VERSION
    assert properties["reason"]["enum"] == properties["would_refuse"]["items"]["enum"] == list(Reason)
    assert properties["ended"]["enum"] == list(Ended)


@pytest.mark.parametrize(("field", "description"), list(described(SCHEMA)))
def test_every_field_is_described_in_a_sentence(field: str, description: str) -> None:
    assert description.endswith("."), field


def test_no_field_is_for_a_secret() -> None:
    names = {name.lower() for name in AccessRecord.__slots__}
    assert not any(word in name for name in names for word in ("pass", "secret", "token", "secondary"))


def test_a_hostile_request_makes_a_record_of_bounded_size() -> None:
    record = full()
    uid = "1." + "2" * 62
    proposed = [PresentationContext(1, uid, (uid,) * 1000, Span(0, 1))] * 12_000
    record.contexts_proposed, record.contexts_refused = 12_000, refused_contexts(proposed, frozenset(), ())
    record.detail = record.sni = record.calling_aet = "\x1b" * 100_000
    record.certificate = VerifiedCertificate(
        "ab" * 32, "c3BraQ==", "CN=" + "x" * 100_000, (), ("d" * 5000,) * 10_000, ("u" * 5000,) * 10_000
    )
    written = record.to_dict(0.0)
    check(written)
    assert len(json.dumps(written)) < 128 * 1024
    assert len(written["contexts"]["refused"]) == MAX_CONTEXTS
    assert written["contexts"]["proposed"] == 12_000
    assert written["detail"] == "\x1b" * MAX_TEXT + "..."
