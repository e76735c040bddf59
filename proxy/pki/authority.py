"""The dev PKI: a folder with a root, an intermediate that issues, and what it issued. For a test bed or one department.

    pki/                       0700
      ca.pem                   root and intermediate: `client_auth.ca` of the gateway, the trust store of the devices
      root.pem     root.key    ten years; the key is only needed to make another intermediate: move it to a safe place
      intermediate.pem  .key   ten years; issues everything below and signs the CRL
      crl.pem                  what was revoked: `client_auth.crl` of the gateway
      index.json               every certificate ever issued, and when it was revoked
      issued/NAME/             cert.pem, chain.pem (with the intermediate: what to send), key.pem, bundle.p12
      retired/NAME-SERIAL/     the folders of revoked and replaced certificates
      requests/NAME/           request.csr and key.pem, for a CA of somebody else

Keys are 0600. Nothing is overwritten: a folder is built beside its place and renamed into it, so that it is there
complete or not at all. The index is written before the folder appears, so that whatever was issued can be revoked.
"""

import contextlib
import datetime
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from proxy.pki import issuing, safefiles
from proxy.pki.issuing import Authority, IssuingError, KeyType, Names, PrivateKey, Usage
from proxy.pki.safefiles import new_folder, write_new

CRL_DAYS = 30

# A folder name, a common name (64 characters, RFC 5280 A.1) and mostly an AE title, which may hold spaces.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+ -]{0,62}[A-Za-z0-9_+-])?")


class PkiError(Exception):
    """What was wrong, where, and what to do next."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index. `serial` and `sha256` are hex; times are RFC 3339 in UTC."""

    name: str
    serial: str
    usage: tuple[Usage, ...]
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]
    sha256: str
    not_after: str
    revoked: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """What `issue` made. Without `key` and `bundle` where the device made its own key."""

    entry: Entry
    chain: Path
    key: Path | None
    bundle: Path | None


class Pki:
    """One PKI folder. Every method that changes it holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.crl = folder / "crl.pem"
        self._index = folder / "index.json"

    @staticmethod
    def create(folder: Path, name: str, now: datetime.datetime, *, key_type: KeyType = "ec") -> "Pki":
        """Make a new PKI in a folder that is absent or empty. Raises PkiError."""
        check_name(name)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PkiError(f"{folder} is there already and not empty; choose another folder with --dir")
        root = issuing.build_authority(_common_name(name, "Root CA"), key_type, now)
        intermediate = issuing.build_authority(_common_name(name, "Issuing CA"), key_type, now, issuer=root)
        both = issuing.chain_pem([root.certificate, intermediate.certificate])
        with new_folder(folder) as new:
            write_new(new / "ca.pem", both)
            for stem, authority in (("root", root), ("intermediate", intermediate)):
                write_new(new / f"{stem}.pem", issuing.chain_pem([authority.certificate]))
                write_new(new / f"{stem}.key", issuing.key_pem(authority.key), mode=0o600)
            for sub in ("issued", "retired", "requests"):
                (new / sub).mkdir(mode=0o700)
            pki = Pki(new)
            pki._save([], 0)
            pki.write_crl(now)
        return Pki(folder)

    @staticmethod
    def open(folder: Path) -> "Pki":
        """An existing PKI. Raises PkiError where there is none."""
        pki = Pki(folder)
        if not pki._index.is_file():
            raise PkiError(f"no PKI in {folder}; make one: dicomgate pki init --dir {folder}")
        return pki

    def entries(self) -> list[Entry]:
        """Everything that was issued, oldest first."""
        return self._load()[0]

    def issue(
        self,
        name: str,
        names: Names,
        now: datetime.datetime,
        *,
        usage: Sequence[Usage] = ("client",),
        days: int | None = None,
        key_type: KeyType = "ec",
        password: str | None = None,
        legacy_bundle: bool = False,
        request: bytes | None = None,
        renew: bool = False,
    ) -> Issued:
        """Issue a certificate, with a new key or for the key of a request. `renew` retires what has the name.

        Raises PkiError.
        """
        check_name(name)
        if not names:
            raise PkiError(f"{name}: a certificate needs a name that can be checked: --dns, --uri or --ip")
        days = days or (issuing.SERVER_DAYS if "server" in usage else issuing.CLIENT_DAYS)
        target = self.folder / "issued" / name
        with self._locked(), _as_pki_error(name):
            entries, number = self._load()
            self._refuse_taken(entries, name, names, usage, now, renew=renew)
            issuer = self._authority("intermediate")
            key: PrivateKey | None = None
            if request is None:
                key = issuing.generate_key(key_type)
                public = key.public_key()
            else:
                public = issuing.request_key(request)
            leaf = issuing.build_certificate(name, public, names, usage, issuer, now, days)
            chain = [leaf, issuer.certificate]
            entry = _entry(name, names, usage, leaf)
            self._save([*entries, entry], number)
            if target.exists():
                self._retire(name)
            with new_folder(target) as new:
                write_new(new / "cert.pem", issuing.chain_pem([leaf]))
                write_new(new / "chain.pem", issuing.chain_pem(chain))
                if key is not None:
                    root = self._certificate("root")
                    bundle = issuing.build_pkcs12(name, key, [*chain, root], password, legacy=legacy_bundle)
                    write_new(new / "key.pem", issuing.key_pem(key), mode=0o600)
                    write_new(new / "bundle.p12", bundle, mode=0o600)
        if key is None:
            return Issued(entry, target / "chain.pem", None, None)
        return Issued(entry, target / "chain.pem", target / "key.pem", target / "bundle.p12")

    def revoke(self, name_or_serial: str, now: datetime.datetime) -> list[Entry]:
        """Revoke every certificate of that name, or the one of that serial, and write the CRL. Raises PkiError."""
        with self._locked():
            entries, number = self._load()
            meant = {e.serial for e in entries if name_or_serial in (e.name, e.serial) and e.revoked is None}
            if not meant:
                known = ", ".join(sorted({e.name for e in entries if e.revoked is None})) or "nothing"
                raise PkiError(
                    f"{name_or_serial}: no certificate of that name or serial is in force (in force: {known})"
                )
            entries = [replace(e, revoked=_timestamp(now)) if e.serial in meant else e for e in entries]
            self._write_crl(entries, number, now, CRL_DAYS)
            revoked = [e for e in entries if e.serial in meant]
            for name in {e.name for e in revoked}:
                if self._current_serial(name) in meant:
                    self._retire(name)
        return revoked

    def write_crl(self, now: datetime.datetime, days: int = CRL_DAYS) -> datetime.datetime:
        """Sign the list of what was revoked anew; gives its nextUpdate. Raises PkiError."""
        with self._locked():
            return self._write_crl(*self._load(), now, days)

    def _write_crl(self, entries: Sequence[Entry], number: int, now: datetime.datetime, days: int) -> datetime.datetime:
        """Keep the entries and write their CRL; nothing is changed where it cannot be signed."""
        revoked = [(int(e.serial, 16), datetime.datetime.fromisoformat(e.revoked)) for e in entries if e.revoked]
        next_update = now + datetime.timedelta(days=days)
        crl = issuing.build_crl(self._authority("intermediate"), revoked, number + 1, now, next_update)
        self._save(entries, number + 1)
        safefiles.replace(self.crl, crl.public_bytes(serialization.Encoding.PEM))
        return next_update

    def _refuse_taken(
        self,
        entries: Sequence[Entry],
        name: str,
        names: Names,
        usage: Sequence[Usage],
        now: datetime.datetime,
        *,
        renew: bool,
    ) -> None:
        """One name, one certificate in use; and no two devices with the same SAN, by which a peer is told."""
        if (self.folder / "issued" / name).exists() and not renew:
            raise PkiError(
                f"{self.folder / 'issued' / name} is there already; add --renew for a new certificate of that name, "
                f"or take the old one out of use: dicomgate pki revoke {name!r} --dir {self.folder}"
            )
        for e in entries:
            if e.name == name or e.revoked or not {"client"} & set(usage) & set(e.usage):
                continue
            shared = {*names.dns, *names.uri, *names.ip} & {*e.dns, *e.uri, *e.ip}
            if shared and datetime.datetime.fromisoformat(e.not_after) > now:
                raise PkiError(
                    f"{name}: {min(shared)} is in the certificate of {e.name} already; choose with --dns or --uri"
                )

    def _current_serial(self, name: str) -> str | None:
        try:
            data = (self.folder / "issued" / name / "cert.pem").read_bytes()
        except FileNotFoundError:
            return None
        return f"{x509.load_pem_x509_certificate(data).serial_number:x}"

    def _retire(self, name: str) -> None:
        os.rename(self.folder / "issued" / name, self.folder / "retired" / f"{name}-{self._current_serial(name)}")

    def _certificate(self, stem: str) -> x509.Certificate:
        path = self.folder / f"{stem}.pem"
        with _as_pki_error(str(path)):
            return x509.load_pem_x509_certificate(path.read_bytes())

    def _authority(self, stem: str) -> Authority:
        path = self.folder / f"{stem}.key"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise PkiError(
                f"{path} is not there, and nothing can be signed without it: bring it back for now"
            ) from None
        with _as_pki_error(str(path)):
            key = serialization.load_pem_private_key(data, None)
        if not isinstance(key, PrivateKey):
            raise PkiError(f"{path}: neither an RSA nor an EC key")
        return Authority(self._certificate(stem), key)

    def _load(self) -> tuple[list[Entry], int]:
        try:
            index = json.loads(self._index.read_bytes())
            return [_entry_of(row) for row in index["certificates"]], int(index["crl_number"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PkiError(f"{self._index} cannot be read ({error}); restore it from a backup") from None

    def _save(self, entries: Sequence[Entry], crl_number: int) -> None:
        index = {"crl_number": crl_number, "certificates": [asdict(e) for e in entries]}
        safefiles.replace(self._index, json.dumps(index, indent=1).encode() + b"\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands at once would lose one another's line of the index. The kernel frees the lock of the dead."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def create_request(folder: Path, name: str, names: Names, *, usage: Sequence[Usage], key_type: KeyType = "ec") -> Path:
    """A new key and a request for it, in `folder`/requests/NAME; gives the path of the request. Raises PkiError."""
    check_name(name)
    target = folder / "requests" / name
    if target.exists():
        raise PkiError(f"{target} is there already; move it away or choose another name")
    key = issuing.generate_key(key_type)
    request = issuing.build_request(name, key, names, usage)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_folder(target) as new:
        write_new(new / "key.pem", issuing.key_pem(key), mode=0o600)
        write_new(new / "request.csr", request.public_bytes(serialization.Encoding.PEM))
    return target / "request.csr"


def check_name(name: str) -> None:
    """Raises PkiError where the name cannot be a folder and a common name."""
    if not _NAME.fullmatch(name):
        raise PkiError(f"{name!r} cannot be the name: 1 to 64 letters, digits, '_', '.', '+', '-' and inner spaces")


def _common_name(name: str, role: str) -> str:
    return f"{name[: 63 - len(role)].rstrip()} {role}"


def _entry(name: str, names: Names, usage: Sequence[Usage], leaf: x509.Certificate) -> Entry:
    return Entry(
        name=name,
        serial=f"{leaf.serial_number:x}",
        usage=tuple(usage),
        dns=names.dns,
        uri=names.uri,
        ip=names.ip,
        sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        not_after=_timestamp(leaf.not_valid_after_utc),
    )


def _timestamp(when: datetime.datetime) -> str:
    return when.isoformat(timespec="seconds")


def _entry_of(row: Mapping[str, Any]) -> Entry:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Entry(**values)


@contextlib.contextmanager
def _as_pki_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PkiError(f"{error.filename or what}: {error.strerror or error}") from error
    except (IssuingError, ValueError, TypeError) as error:
        raise PkiError(f"{what}: {error}") from error
