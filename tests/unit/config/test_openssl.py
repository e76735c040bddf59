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


def test_one_that_works_is_no_problem() -> None:
    assert openssl_problem() is None


@pytest.mark.parametrize(
    ("module", "name", "fault"), [(ssl, "SSLContext", no_context), (hashes, "Hash", no_hash)], ids=["context", "hash"]
)
def test_it_is_said_where_to_look(
    module: Any, name: str, fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    (said,) = findings(tmp_path, PLAIN)
    assert said.startswith("E312 ") and "OpenSSL" in said and "$OPENSSL_CONF" in said
