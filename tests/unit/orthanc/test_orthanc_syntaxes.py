"""AcceptedTransferSyntaxes and the *TransferSyntaxAccepted flags."""

from typing import Any

import pytest
import yaml

from tests.support.orthanc_import import Values, peers, text_of

FLAGS = ("Echo", "Store", "Find", "FindWorklist", "Get", "Move")


def modality(**more: Any) -> Values:
    return {"AET": "CT1", "Host": "10.0.0.5", "Port": 104, **more}


IMPLICIT, EXPLICIT, BIG, JPEG, RLE = (f"1.2.840.10008.1.2{tail}" for tail in ("", ".1", ".2", ".4.50", ".5"))


def syntaxes(**options: Any) -> list[Any]:
    """Return `transfer_syntaxes` of a peer that may do everything, then of one that only stores."""
    storing = modality(AET="ST", **{f"Allow{flag}": False for flag in (*FLAGS, "StorageCommitment") if flag != "Store"})
    text = text_of(
        {
            "DicomModalities": {"a": modality(), "b": storing},
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            **options,
        }
    )
    return [peer.get("transfer_syntaxes") for peer in yaml.safe_load(text)["tenants"]["orthanc"]["peers"]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"AcceptedTransferSyntaxes": ["1.2.840.10008.1.*"]},
        {"AcceptedTransferSyntaxes": "*"},
        {"JpegTransferSyntaxAccepted": True},
        {"AcceptedTransferSyntaxes": ["1.2.840.10008.1.2*"], "RleTransferSyntaxAccepted": True},
    ],
)
def test_all_syntaxes_are_any(options: Values) -> None:
    assert syntaxes(**options) == [None, None]


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"AcceptedTransferSyntaxes": [JPEG]}, {JPEG}),
        ({"AcceptedTransferSyntaxes": EXPLICIT}, {EXPLICIT}),
        ({"AcceptedTransferSyntaxes": ["1.2.840.10008.1.2.4.5?"]}, {f"1.2.840.10008.1.2.4.{n}" for n in range(50, 60)}),
        ({"AcceptedTransferSyntaxes": [JPEG, RLE], "RleTransferSyntaxAccepted": False}, {JPEG}),
        ({"AcceptedTransferSyntaxes": [], "RleTransferSyntaxAccepted": True}, {RLE}),
        ({"AcceptedTransferSyntaxes": [IMPLICIT, "1.2.3"]}, {IMPLICIT}),
    ],
)
def test_restricted_syntaxes_are_listed(options: Values, stored: set[str]) -> None:
    everything, storing = syntaxes(**options)
    assert set(storing) == stored
    assert set(everything) == stored | {IMPLICIT, EXPLICIT, BIG}  # Orthanc always accepts these for other operations


@pytest.mark.parametrize(
    ("flag", "gone"),
    [
        ("Deflated", {".1.99"}),
        ("Jpeg", {f".4.{n}" for n in (*range(50, 67), 70)}),
        ("JpegLossless", {".4.80", ".4.81"}),
        ("Jpeg2000", {".4.90", ".4.91", ".4.92", ".4.93"}),
        ("Jpip", {".4.94", ".4.95"}),
        ("Mpeg2", {".4.100", ".4.101"}),
        ("Mpeg4", {".4.102", ".4.103", ".4.104", ".4.105", ".4.106"}),
        ("H265", {".4.107", ".4.108"}),
        ("Rle", {".5"}),
    ],
)
def test_a_group_can_be_switched_off(flag: str, gone: set[str]) -> None:
    everything, storing = syntaxes(**{f"{flag}TransferSyntaxAccepted": False})
    assert everything is not None
    assert set(everything) == set(storing)
    assert {f"1.2.840.10008.1.2{tail}" for tail in gone}.isdisjoint(storing)
    assert len(storing) == 47 - len(gone)


def test_without_any_syntax_nothing_is_stored() -> None:
    config = {"DicomModalities": {"a": modality()}, "AcceptedTransferSyntaxes": []}
    assert {entry.name: entry.allow for entry in peers(config)} == {
        "a": ("echo", "find", "worklist", "get", "move", "storage_commitment"),
        "anybody": ("echo",),
    }
    assert "'1.2.3' matches nothing" in text_of({"AcceptedTransferSyntaxes": ["1.2.3"]})
