"""The dev PKI, for a test bed or one department: a folder with a root, an issuing intermediate, and its certificates.

    pki/                       0700
      ca.pem                   root and intermediate: `client_auth.ca` of the gateway, the trust store of the devices
      root.pem     root.key    ten years; the key is only needed to make another intermediate: move it to a safe place
      intermediate.pem  .key   ten years; issues everything below and signs the CRL
      crl.pem                  the revoked certificates: `client_auth.crl` of the gateway
      index.json               every certificate ever issued, and the time of its revocation
      issued/NAME/             cert.pem, chain.pem (with the intermediate: for the peer), key.pem, bundle.p12
      retired/NAME-SERIAL/     the folders of revoked and replaced certificates
      requests/NAME/           request.csr and key.pem, for another CA

Keys are 0600. No key or certificate is overwritten. A folder is built under another name and then renamed, so it exists
complete or not at all. The index is written before the folder appears, so every certificate that exists can be revoked,
even if the process is killed in between.
"""

import contextlib
import datetime
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy.pki import issuing, safefiles
from proxy.pki.index import Entry, Index, PkiError, as_pki_error, timestamp
from proxy.pki.issuing import Authority, KeyType, Names, PrivateKey, PublicKey, Usage
from proxy.pki.safefiles import new_folder, write_new

CRL_DAYS = 30

# The name is a folder, a common name (64 characters, RFC 5280 A.1) and usually an AE title, which may contain spaces.
# The first character is no dot and no dash: neither `..` nor an option of a command. The last one is no dot or space.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+ -]{0,62}[A-Za-z0-9_+-])?")


@dataclass(frozen=True, slots=True)
class Issued:
    """The files that `issue` has written. `key` and `bundle` are None if the device keeps its own key."""

    entry: Entry
    chain: Path
    key: Path | None = None
    bundle: Path | None = None


class Pki:
    """One PKI folder. Every method that changes it holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.crl = folder / "crl.pem"
        self._index = Index(folder / "index.json")

    @staticmethod
    def create(folder: Path, name: str, now: datetime.datetime, *, key_type: KeyType = "ec") -> "Pki":
        """Make a new PKI in a folder that does not exist or is empty. Raises PkiError."""
        check_name(name)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PkiError(f"{folder} exists and is not empty; choose another folder with --dir")
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
            pki._index.save([], 0)
            pki.write_crl(now)
        return Pki(folder)

    @staticmethod
    def open(folder: Path) -> "Pki":
        """Open an existing PKI. Raises PkiError where there is none."""
        pki = Pki(folder)
        if not pki._index.path.is_file():
            raise PkiError(f"no PKI in {folder}; make one: dicomgate pki init --dir {folder}")
        return pki

    def entries(self) -> list[Entry]:
        """Return the index entry of each certificate ever issued, oldest first."""
        return self._index.load()[0]

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
        """Issue a certificate, with a new key or for the key of `request` (PEM or DER). Raises PkiError.

        `renew` moves the present folder of that name to `retired`; its certificate stays valid until it is revoked.
        `password` and `legacy_bundle` are for bundle.p12. `days` None: the default of `usage`.
        """
        check_name(name)
        if not names:
            raise PkiError(f"{name}: a certificate needs a name that can be checked: --dns, --uri or --ip")
        days = days or (issuing.SERVER_DAYS if "server" in usage else issuing.CLIENT_DAYS)
        with self._locked(), as_pki_error(name):
            entries, number = self._index.load()
            if not renew:
                self._refuse_folder(name)
            _refuse_shared_names(entries, name, names, usage, now)
            issuer = self._authority("intermediate")
            key, public = _new_key(key_type) if request is None else (None, issuing.request_key(request))
            leaf = issuing.build_certificate(name, public, names, usage, issuer, now, days)
            entry = Entry.of(name, names, usage, leaf)
            # The index first. If the process is killed after it, the index has an entry without files, which can be
            # revoked. The other order could leave a certificate in a device that the index does not know.
            self._index.save([*entries, entry], number)
            if (self.folder / "issued" / name).exists():
                self._retire(name)
            return self._write_issued(entry, leaf, issuer, key, password, legacy=legacy_bundle)

    def _write_issued(
        self,
        entry: Entry,
        leaf: x509.Certificate,
        issuer: Authority,
        key: PrivateKey | None,
        password: str | None,
        *,
        legacy: bool,
    ) -> Issued:
        target, chain = self.folder / "issued" / entry.name, [leaf, issuer.certificate]
        with new_folder(target) as new:
            write_new(new / "cert.pem", issuing.chain_pem([leaf]))
            write_new(new / "chain.pem", issuing.chain_pem(chain))
            if key is None:
                return Issued(entry, target / "chain.pem")
            whole = [*chain, self._certificate("root")]
            bundle = issuing.build_pkcs12(entry.name, key, whole, password, legacy=legacy)
            write_new(new / "key.pem", issuing.key_pem(key), mode=0o600)
            write_new(new / "bundle.p12", bundle, mode=0o600)
        return Issued(entry, target / "chain.pem", target / "key.pem", target / "bundle.p12")

    def revoke(self, name_or_serial: str, now: datetime.datetime) -> list[Entry]:
        """Revoke all certificates of a name, or the one with a serial, and write the CRL. Raises PkiError.

        Returns the entries that are now revoked.
        """
        with self._locked():
            entries, number = self._index.load()
            meant = {e.serial for e in entries if name_or_serial in (e.name, e.serial) and e.revoked is None}
            if not meant:
                known = ", ".join(sorted({e.name for e in entries if e.revoked is None})) or "nothing"
                raise PkiError(
                    f"{name_or_serial}: no certificate of that name or serial is in force (in force: {known})"
                )
            entries = [replace(e, revoked=timestamp(now)) if e.serial in meant else e for e in entries]
            self._write_crl(entries, number, now, CRL_DAYS)
            revoked = [e for e in entries if e.serial in meant]
            # After the CRL, which is what counts. A renewed name keeps its folder if only the old serial was meant.
            for name in {e.name for e in revoked}:
                if self._current_serial(name) in meant:
                    self._retire(name)
        return revoked

    def write_crl(self, now: datetime.datetime, days: int = CRL_DAYS) -> datetime.datetime:
        """Sign the list of revoked certificates again for `days`; return its nextUpdate. Raises PkiError."""
        with self._locked():
            return self._write_crl(*self._index.load(), now, days)

    def _write_crl(self, entries: Sequence[Entry], number: int, now: datetime.datetime, days: int) -> datetime.datetime:
        """Save the entries and write their CRL; return its nextUpdate. Changes nothing if the CRL cannot be signed."""
        revoked = [(int(e.serial, 16), datetime.datetime.fromisoformat(e.revoked)) for e in entries if e.revoked]
        next_update = now + datetime.timedelta(days=days)
        # Sign before saving: an entry that is revoked in the index and in no CRL would still be let in, and `revoke`
        # would refuse to revoke it again.
        crl = issuing.build_crl(self._authority("intermediate"), revoked, number + 1, now, next_update)
        self._index.save(entries, number + 1)
        safefiles.replace(self.crl, crl.public_bytes(serialization.Encoding.PEM))
        return next_update

    def _refuse_folder(self, name: str) -> None:
        folder = self.folder / "issued" / name
        if folder.exists():
            raise PkiError(
                f"{folder} exists; add --renew for a new certificate of that name, "
                f"or take the old one out of use: dicomgate pki revoke {name!r} --dir {self.folder}"
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
        with as_pki_error(str(path)):
            return x509.load_pem_x509_certificate(path.read_bytes())

    def _authority(self, stem: str) -> Authority:
        path = self.folder / f"{stem}.key"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise PkiError(f"{path} is missing; bring it back: nothing can be signed without it") from None
        with as_pki_error(str(path)):
            key = serialization.load_pem_private_key(data, None)
        if not isinstance(key, PrivateKey):
            raise PkiError(f"{path}: neither an RSA nor an EC key")
        return Authority(self._certificate(stem), key)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder. Two commands at once would overwrite each other's entries in the index."""
        # On the folder itself: a lock file could be copied or left behind. The kernel frees the lock of a dead process.
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _refuse_shared_names(
    entries: Sequence[Entry], name: str, names: Names, usage: Sequence[Usage], now: datetime.datetime
) -> None:
    """Raise PkiError if another device has one of `names` in a valid client certificate: peers match by these names."""
    for e in entries:
        if e.name == name or not {"client"} & set(usage) & set(e.usage):
            continue
        shared = {*names.dns, *names.uri, *names.ip} & {*e.dns, *e.uri, *e.ip}
        if shared and e.is_valid(now):
            raise PkiError(
                f"{name}: {min(shared)} is in the certificate of {e.name} already; choose with --dns or --uri"
            )


def create_request(folder: Path, name: str, names: Names, *, usage: Sequence[Usage], key_type: KeyType = "ec") -> Path:
    """Make a key and a request for it in `folder`/requests/NAME; return the path of the request. Raises PkiError."""
    check_name(name)
    target = folder / "requests" / name
    if target.exists():
        raise PkiError(f"{target} exists; move it away or choose another name")
    key = issuing.generate_key(key_type)
    request = issuing.build_request(name, key, names, usage)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_folder(target) as new:
        write_new(new / "key.pem", issuing.key_pem(key), mode=0o600)
        write_new(new / "request.csr", request.public_bytes(serialization.Encoding.PEM))
    return target / "request.csr"


def check_name(name: str) -> None:
    """Raise PkiError if `name` cannot be a folder and a common name."""
    if not _NAME.fullmatch(name):
        raise PkiError(f"{name!r} cannot be the name: 1 to 64 letters, digits, '_', '.', '+', '-' and inner spaces")


def _new_key(key_type: KeyType) -> tuple[PrivateKey, PublicKey]:
    key = issuing.generate_key(key_type)
    return key, key.public_key()


def _common_name(name: str, role: str) -> str:
    # Cut the name, not the role, to fit into the 64 characters of a common name.
    return f"{name[: 63 - len(role)].rstrip()} {role}"
