"""A configuration with which Orthanc does not start is refused, and all of its problems are reported at once."""
# ruff: noqa: E501 - a problem is one line, however long

from typing import Any

import pytest

from proxy.orthanc.model import read_orthanc
from proxy.orthanc.text import OrthancError
from tests.support.orthanc_import import Values


def modality(**more: Any) -> Values:
    return {"AET": "CT1", "Host": "10.0.0.5", "Port": 104, **more}


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        ({}, ["not an Orthanc configuration: it has no key of Orthanc's"]),
        ({"version": 1, "listeners": {}}, ["not an Orthanc configuration: it has no key of Orthanc's"]),
        ({"DicomServerEnabled": False}, ["DicomServerEnabled is false: this Orthanc accepts no associations, so there is nothing to import"]),
        (
            {"DicomAet": 5, "DicomPort": "4242", "DicomCheckCalledAet": "yes", "DicomAlwaysAllowEcho": 1, "StrictAetComparison": None},
            [
                "DicomAet: '5' is not a string",
                "DicomPort: '4242' is not a whole number",
                "DicomCheckCalledAet: 'yes' is not true or false",
                "StrictAetComparison: null is not true or false",
                "DicomAlwaysAllowEcho: '1' is not true or false",
            ],
        ),
        ({"DicomPort": True}, ["DicomPort: true is not a whole number"]),
        ({"DicomPort": 0}, ["DicomPort: 0 is not in 1..65535"]),
        ({"DicomCheckCalledAet": True, "DicomAet": "A" * 17}, ["DicomAet: longer than 16 characters"]),
        ({"DicomModalities": []}, ["DicomModalities: a list is not an object of modalities by name"]),
        (
            {"DicomModalities": {"a": 1, "b": ["X", "h"], "c": [1, "h", 104], "d": ["X", "h", 104, "GE", 5], "e f": None}},
            [
                "DicomModalities.a: '1' is neither [AET, host, port] nor an object",
                "DicomModalities.b: expected [AET, host, port] or [AET, host, port, manufacturer], all strings except the port",
                "DicomModalities.c: expected [AET, host, port] or [AET, host, port, manufacturer], all strings except the port",
                "DicomModalities.d: expected [AET, host, port] or [AET, host, port, manufacturer], all strings except the port",
                "DicomModalities.'e f': null is neither [AET, host, port] nor an object",
            ],
        ),
        (
            {"DicomModalities": {"a": {"AET": 5, "Host": "h"}, "b": modality(AllowEcho="no"), "c": modality(Port=65535)}},
            [
                "DicomModalities.a: Port is missing",
                "DicomModalities.a.AET: '5' is not a string",
                "DicomModalities.b.AllowEcho: 'no' is not true or false",
                "DicomModalities.c.Port: '65535' is not a port in 1..65534",
            ],
        ),
        ({"DicomModalities": {"a": ["X", "h", "104"], "b": ["X", "h", 104.5]}}, ["DicomModalities.b.Port: '104.5' is not a port in 1..65534"]),
        ({"AcceptedTransferSyntaxes": [1]}, ["AcceptedTransferSyntaxes: a list is not a list of strings"]),
        (
            {"DicomTlsEnabled": True, "DicomTlsCertificate": "a", "DicomTlsMinimumProtocolVersion": 6},
            [
                "DicomTlsPrivateKey is missing, and DicomTlsEnabled is true",
                "DicomTlsTrustedCertificates is missing, and DicomTlsEnabled is true",
                "DicomTlsMinimumProtocolVersion: 6 is not in 0..5",
            ],
        ),
    ],
)  # fmt: skip
def test_mistakes_are_reported_all_at_once(config: Values, problems: list[str]) -> None:
    with pytest.raises(OrthancError) as caught:
        read_orthanc(config)
    assert list(caught.value.problems) == problems
