"""Hands key material to OpenSSL through anonymous memory.

`ssl` takes paths only, but a generation reads its files once (`proxy.config.files`). Reading a file again could find
new content in an old generation, or a key that a confined worker may not open.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator

from proxy.config.values import KeyPair
from proxy.tls.errors import TlsSetupError


@contextlib.contextmanager
def memory_path(data: bytes) -> Iterator[str]:
    """Yield a path under which `data` can be read inside the block. No key is written to a disk. Raises OSError."""
    descriptor = os.memfd_create("dicomgate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class _KeyIsEncrypted(Exception):
    """OpenSSL asked for a password."""


def _refuse_password() -> str:
    # Without a password function OpenSSL asks on the terminal, where a service would hang at every start.
    raise _KeyIsEncrypted


def load_key_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Give `context` a certificate chain and its key. Raises `TlsSetupError`."""
    with memory_path(pair.chain.data) as chain, memory_path(pair.key.data) as key:
        try:
            context.load_cert_chain(chain, key, password=_refuse_password)
        except _KeyIsEncrypted:
            raise TlsSetupError(pair.key, "the key is encrypted; give an unencrypted one") from None
        except ssl.SSLError as error:
            raise _explain(pair, error) from None


def _explain(pair: KeyPair, error: ssl.SSLError) -> TlsSetupError:
    # OpenSSL's reason first, where it is a clear one. For a file without any PEM it only reports a bad base64 or a
    # missing start line, so the content is examined for that.
    reason = error.reason or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return TlsSetupError(pair.key, f"is not the key of the certificate in {pair.chain.path}")
    if reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
        return TlsSetupError(pair.chain, f"too weak for the profile ({reason.replace('_', ' ').lower()})")
    if b"-----BEGIN CERTIFICATE-----" not in pair.chain.data:
        return TlsSetupError(pair.chain, "holds no PEM certificate")
    if b"PRIVATE KEY-----" not in pair.key.data:
        return TlsSetupError(pair.key, "holds no PEM private key")
    return TlsSetupError(pair.chain, f"cannot be used with {pair.key.path} ({reason.replace('_', ' ').lower()})")
