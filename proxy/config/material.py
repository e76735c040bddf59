"""Reads and checks the certificates, keys, CAs and CRLs of one generation, and keeps their bytes for the workers.

A fault is reported at the line that names the file, and the file is left out: loading goes on to find further faults.
"""

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.config.fields import FilePath
from proxy.config.files import FileProblem, Files
from proxy.config.findings import Findings, KeyPath, locate
from proxy.config.models import CertificateModel, Secret
from proxy.config.tree import Block
from proxy.config.values import File, KeyPair
from proxy.x509 import certificate as x509
from proxy.x509.crl import Crl, read_crls
from proxy.x509.files import read_certificates
from proxy.x509.keys import EncryptedKey, public_key_of
from proxy.x509.strength import weakness

EXPIRES_SOON = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A key pair of the gateway, with its chain (leaf first)."""

    pair: KeyPair
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class CaFile:
    """A PEM file of CAs."""

    file: File
    certificates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Pinned:
    """The one device certificate of a file."""

    file: File
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class CrlFile:
    """A file of CRLs."""

    file: File
    crls: tuple[Crl, ...]


@dataclass(slots=True)
class Material:
    """Reads the files that the configuration names, and reports their faults at the line that names them."""

    root: Block
    files: Files
    environ: Mapping[str, str]
    report: Findings
    now: datetime.datetime
    incomplete: bool = False  # a file is missing or unusable: checks that need the content of all are skipped
    # A file that several listeners or tenants name or inherit is parsed once and reported once.
    _pairs: dict[CertificateModel, OwnCertificate | None] = field(default_factory=dict)
    _ca_files: dict[FilePath, CaFile | None] = field(default_factory=dict)
    _crl_files: dict[FilePath, CrlFile | None] = field(default_factory=dict)

    def tell(self, code: str, path: KeyPath, message: str) -> None:
        """Report `message` at `path`."""
        self.incomplete = self.incomplete or code.startswith("E3")  # E3: faults of files and certificates
        mark, dotted = locate(self.root, path)
        self.report.add(code, mark, dotted, message)

    def read(self, file: FilePath, path: KeyPath) -> File | None:
        """Return a file with its content; report a fault and return None."""
        try:
            content = self.files.read(file.path)
        except FileProblem as problem:
            self.tell("E301", path, str(problem))
            return None
        return File(file.path, content.data, "" if file.mark is None else file.mark.file_and_line)

    def _certificates(self, file: FilePath, path: KeyPath) -> tuple[File, tuple[x509.Certificate, ...]] | None:
        content = self.read(file, path)
        if content is None:
            return None
        try:
            certificates = read_certificates(content.data)
        except ValueError as error:
            self.tell("E302", path, f"{file.path} {error}")
            return None
        return content, certificates

    def secret(self, secret: Secret, path: KeyPath) -> File | None:
        """Return a secret with its content; report a fault and return None."""
        where = locate(self.root, path)[0].file_and_line
        if secret.env is not None:
            value = self.environ.get(secret.env)
            if not value:
                self.tell("E310", path, f"environment variable {secret.env} is not set")
                return None
            # Python decodes the environment with surrogateescape: this gives back the original bytes.
            return File(f"env:{secret.env}", value.encode("utf-8", "surrogateescape"), where)
        if secret.credential is not None:
            folder = self.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                self.tell(
                    "E310", path, "$CREDENTIALS_DIRECTORY is not set: only a systemd unit with LoadCredential= has it"
                )
                return None
            # No check of permissions (`_private`): systemd sets those of the folder.
            return self.read(FilePath(os.path.join(folder, secret.credential)), path)
        assert secret.file is not None  # the model requires one of the three
        return self._private(secret.file, path)

    def _private(self, file: FilePath, path: KeyPath) -> File | None:
        found = self.read(file, path)
        # Readable by the group is fine: Kubernetes mounts secrets for a group (fsGroup).
        if found is not None and self.files.read(file.path).mode & 0o007:
            self.tell(
                "E304", path, f"{file.path} can be read by all users: chmod o-rwx (on Kubernetes set defaultMode: 0440)"
            )
            return None
        return found

    def server_certificate(self, certificate: CertificateModel, path: KeyPath) -> OwnCertificate | None:
        """Return a server certificate of the gateway with its key, after checking that they match and are valid now."""
        if certificate not in self._pairs:
            self._pairs[certificate] = self._server_certificate(certificate, path)
        return self._pairs[certificate]

    def _server_certificate(self, certificate: CertificateModel, path: KeyPath) -> OwnCertificate | None:
        if certificate.dir is not None:
            # The names in a Kubernetes secret of type kubernetes.io/tls.
            folder, mark = certificate.dir.path, certificate.dir.mark
            chain = self.read(FilePath(os.path.join(folder, "tls.crt"), mark), (*path, "dir"))
            key = self._private(FilePath(os.path.join(folder, "tls.key"), mark), (*path, "dir"))
        else:
            assert certificate.chain is not None and certificate.key is not None
            chain = self.read(certificate.chain, (*path, "chain"))
            key = self.secret(certificate.key, (*path, "key"))
        own = self._own_certificate(chain, key, path, "chain")
        if own is not None:
            leaf, file = own.chain[0], own.pair.chain.path
            self._check_own_leaf(leaf, file, path)
            if not leaf.for_servers:
                self.tell(
                    "W303", path, f"{file}: its extended key usage is without serverAuth; many senders will refuse it"
                )
        return own

    def client_certificate(self, certificate: FilePath, key: Secret, path: KeyPath) -> OwnCertificate | None:
        """Return the certificate that the gateway shows to an upstream. `path` is that of the `tls` block."""
        chain, secret = self.read(certificate, (*path, "certificate")), self.secret(key, (*path, "key"))
        own = self._own_certificate(chain, secret, path, "certificate")
        if own is not None:
            leaf, file, where = own.chain[0], own.pair.chain.path, (*path, "certificate")
            self._check_own_leaf(leaf, file, where)
            if not leaf.for_clients:
                self.tell(
                    "W303", where, f"{file}: its extended key usage is without clientAuth; most servers will refuse it"
                )
        return own

    def _own_certificate(
        self, chain: File | None, key: File | None, path: KeyPath, chain_key: str
    ) -> OwnCertificate | None:
        if chain is None or key is None:
            return None
        try:
            certificates = read_certificates(chain.data)
        except ValueError as error:
            self.tell("E302", (*path, chain_key), f"{chain.path} {error}")
            return None
        try:
            public_key = public_key_of(key.data)
        except ValueError as error:
            self.tell("E305" if isinstance(error, EncryptedKey) else "E302", (*path, "key"), f"{key.path} {error}")
            return None
        # Both sides come from `cryptography` in one encoding, so the bytes can be compared.
        if public_key != certificates[0].key.spki:
            self.tell("E303", path, f"the certificate in {chain.path} does not belong to the key in {key.path}")
            return None
        return OwnCertificate(KeyPair(chain, key), certificates)

    def _check_own_leaf(self, leaf: x509.Certificate, file: str, path: KeyPath) -> None:
        if leaf.not_after <= self.now:
            self.tell("E306", path, f"{file}: expired on {leaf.not_after:%Y-%m-%d}")
        elif leaf.not_before > self.now:
            self.tell("E306", path, f"{file}: not valid before {leaf.not_before:%Y-%m-%d %H:%M} UTC")
        elif leaf.not_after <= self.now + EXPIRES_SOON:
            self.tell("W301", path, f"{file}: expires on {leaf.not_after:%Y-%m-%d}")
        if leaf.key.is_edwards:
            self.tell(
                "W303", path, f"{file}: DCMTK and programs built on it cannot verify Ed25519 and Ed448 certificates"
            )

    def check_strength(self, certificate: OwnCertificate, path: KeyPath) -> None:
        """Report the weak certificates of a chain. Callers skip this for the legacy profiles, which admit them."""
        for link in certificate.chain:
            if weak := weakness(link):
                self.tell("E307", path, f"{certificate.pair.chain.path}: {link.subject}: {weak}")

    def ca_file(self, file: FilePath, path: KeyPath) -> CaFile | None:
        """Return the CAs of client certificates. Every certificate of the file must be a CA."""
        if file not in self._ca_files:
            self._ca_files[file] = self._ca_file(file, path)
        return self._ca_files[file]

    def _ca_file(self, file: FilePath, path: KeyPath) -> CaFile | None:
        found = self._certificates(file, path)
        if found is None:
            return None
        content, certificates = found
        for certificate in certificates:
            # An error: under `ca` a device certificate would be an anchor for every peer, not only for its own.
            if not certificate.is_ca:
                self.tell(
                    "E308",
                    path,
                    f"{file.path}: {certificate.subject} is a device certificate (CA:FALSE), not a CA; "
                    "put it under cert.file of its peer",
                )
            elif certificate.not_after <= self.now:
                self.tell(
                    "W301",
                    path,
                    f"{file.path}: CA {certificate.subject} expired on {certificate.not_after:%Y-%m-%d}; "
                    "its certificates are refused",
                )
        return CaFile(content, certificates)

    def trusted(self, file: FilePath, path: KeyPath) -> CaFile | None:
        """Return the trust store for an upstream's certificate: CAs, or the certificate itself."""
        found = self._certificates(file, path)
        if found is None:
            return None
        content, certificates = found
        for certificate in certificates:
            if certificate.not_after <= self.now:
                ended = f"{certificate.subject} expired on {certificate.not_after:%Y-%m-%d}"
                self.tell("W301", path, f"{file.path}: {ended}; certificates that it issued are refused")
        return CaFile(content, certificates)

    def pinned(self, file: FilePath, path: KeyPath) -> Pinned | None:
        """Return a device certificate that is trusted as itself, the only one of its file."""
        found = self._certificates(file, path)
        if found is None:
            return None
        content, certificates = found
        if len(certificates) != 1:  # a chain by mistake would pin the CA too, or a file of many would mix the devices
            self.tell(
                "E302", path, f"{file.path} holds {len(certificates)} certificates; give each device a file of its own"
            )
            return None
        certificate = certificates[0]
        why = self._why_refused(certificate)
        if why:
            self.tell("W304", path, f"{file.path}: {certificate.subject} will be refused: {why}")
        return Pinned(content, certificate)

    def _why_refused(self, certificate: x509.Certificate) -> str:
        """Return why a handshake with a pinned certificate would fail, or ""."""
        if certificate.not_after <= self.now:
            return f"expired on {certificate.not_after:%Y-%m-%d}"
        if certificate.not_before > self.now:
            return f"not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
        if not certificate.for_clients:
            return "its extended key usage is without clientAuth"
        return weakness(certificate, anchor=True) or ""

    def crl_file(self, file: FilePath, path: KeyPath) -> CrlFile | None:
        """Return the CRLs of a file, PEM or DER."""
        if file not in self._crl_files:
            self._crl_files[file] = self._crl_file(file, path)
        return self._crl_files[file]

    def _crl_file(self, file: FilePath, path: KeyPath) -> CrlFile | None:
        content = self.read(file, path)
        if content is None:
            return None
        try:
            crls = read_crls(content.data)
        except ValueError as error:
            self.tell("E309", path, f"{file.path} {error}")
            return None
        return CrlFile(content, crls)
