"""The index of a PKI folder: every certificate ever issued, and the time of its revocation."""

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from proxy.pki import safefiles
from proxy.pki.issuing import IssuingError, Names, Usage


class PkiError(Exception):
    """A PKI folder or a request cannot be used. The text names the fault, the place and the next step."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate in the index. `serial` and `sha256` are hex; times are RFC 3339 in UTC."""

    name: str
    serial: str
    usage: tuple[Usage, ...]
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]
    sha256: str
    not_after: str
    revoked: str | None = None

    @staticmethod
    def of(name: str, names: Names, usage: Sequence[Usage], leaf: x509.Certificate) -> "Entry":
        return Entry(
            name=name,
            serial=f"{leaf.serial_number:x}",
            usage=tuple(usage),
            dns=names.dns,
            uri=names.uri,
            ip=names.ip,
            sha256=leaf.fingerprint(hashes.SHA256()).hex(),
            not_after=timestamp(leaf.not_valid_after_utc),
        )

    def is_valid(self, now: datetime.datetime) -> bool:
        """Return whether the certificate is neither revoked nor expired."""
        return self.revoked is None and datetime.datetime.fromisoformat(self.not_after) > now


class Index:
    """The file index.json. A caller that saves must hold the lock of the folder (`Pki._locked`) since its load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> tuple[list[Entry], int]:
        """Return the entries, oldest first, and the number of the last CRL. Raises PkiError."""
        try:
            index = json.loads(self.path.read_bytes())
            return [_entry_of(row) for row in index["certificates"]], int(index["crl_number"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PkiError(f"{self.path} cannot be read ({error}); restore it from a backup") from None

    def save(self, entries: Sequence[Entry], crl_number: int) -> None:
        index = {"crl_number": crl_number, "certificates": [asdict(e) for e in entries]}
        safefiles.replace(self.path, json.dumps(index, indent=1).encode() + b"\n")


def timestamp(when: datetime.datetime) -> str:
    return when.isoformat(timespec="seconds")


def _entry_of(row: Mapping[str, Any]) -> Entry:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Entry(**values)


@contextlib.contextmanager
def as_pki_error(what: str) -> Iterator[None]:
    """Turn an error inside the block into a PkiError that names the file, or else `what`."""
    try:
        yield
    except OSError as error:
        raise PkiError(f"{error.filename or what}: {error.strerror or error}") from error
    except (IssuingError, ValueError, TypeError) as error:
        raise PkiError(f"{what}: {error}") from error
