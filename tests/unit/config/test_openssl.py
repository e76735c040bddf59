"""If OpenSSL does not work, that is the only finding."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from proxy.config.openssl import openssl_problem
from tests.support.configs import PLAIN, findings


def no_context(*arguments: Any) -> ssl.SSLContext:
    raise ssl.SSLError(1, "[SSL: LIBRARY_HAS_NO_CIPHERS] library has no ciphers")


def no_hash(*arguments: Any) -> hashes.Hash:
    raise UnsupportedAlgorithm("sha256 is not supported")


def test_a_working_openssl_is_no_problem() -> None:
    assert openssl_problem() is None


@pytest.mark.parametrize(
    ("module", "name", "fault"), [(ssl, "SSLContext", no_context), (hashes, "Hash", no_hash)], ids=["context", "hash"]
)
def test_the_finding_names_the_places_to_check(
    module: Any, name: str, fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    (finding,) = findings(tmp_path, PLAIN)
    assert finding.startswith("E312 ") and "OpenSSL" in finding and "$OPENSSL_CONF" in finding
