"""Computes the effective TLS of each listener, and of each tenant on it.

A tenant inherits key by key: a key that it leaves out has the value of the listener, never the default.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from proxy.config.findings import KeyPath
from proxy.config.material import CaFile, CrlFile, Material, OwnCertificate, Pinned
from proxy.config.models import ClientAuthModel, ClientCa, ListenerTlsModel, TenantTlsModel
from proxy.config.models_tenant import TenantModel
from proxy.config.profiles import LEGACY_PROFILES
from proxy.config.values import ClientAuthSettings, File, KeyPair, TlsSettings
from proxy.policy import ClientAuth as ClientAuthPolicy
from proxy.policy import ClientAuthMode
from proxy.x509.certificate import Certificate


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """Effective `client_auth` with the content of its files. `path` is the block that findings refer to.

    `tenants`, for a listener: the trust of each tenant on it. A client without SNI meets the context of the listener.
    Without this field it could evade the revocations of a tenant by leaving out the server name.
    """

    path: KeyPath
    mode: str
    ca: Mapping[str, CaFile]
    pinned: tuple[Pinned, ...]
    crls: tuple[tuple[KeyPath, CrlFile], ...]
    crl_expired: str
    revoked: frozenset[str]
    tenants: "tuple[ClientTrust, ...]" = ()

    @property
    def authorities(self) -> list[Certificate]:
        """All trusted CA certificates."""
        return [certificate for file in self.ca.values() for certificate in file.certificates]

    @property
    def trusts_any(self) -> bool:
        return bool(self.ca or self.pinned)

    @property
    def policy(self) -> ClientAuthPolicy:
        """The form for the decision: each anchor with its names in the configuration."""
        # The same CA may have several names: a condition `cert.ca` by any of them matches.
        names: dict[str, set[str]] = {}
        for name, file in self.ca.items():
            for certificate in file.certificates:
                names.setdefault(certificate.sha256, set()).add(name)
        return ClientAuthPolicy(
            ClientAuthMode(self.mode),
            {anchor: frozenset(has) for anchor, has in names.items()},
            frozenset(pinned.certificate.sha256 for pinned in self.pinned),
        )

    @property
    def settings(self) -> ClientAuthSettings:
        """The form for the TLS layer."""
        every = (self, *self.tenants)
        # On a listener the strictest of the blocks that have CRLs decides what an expired CRL is worth.
        expired = {trust.crl_expired for trust in every if trust.crls} or {self.crl_expired}
        issuers = [ca.file for trust in self.tenants if trust.crls for ca in trust.ca.values()]
        return ClientAuthSettings(
            mode=self.mode,
            ca={name: file.file for name, file in self.ca.items()},
            pinned=tuple({pinned.certificate.sha256: pinned.file for pinned in self.pinned}.values()),
            crl=tuple(self._own_crls()),
            crl_issuers=tuple({file.path: file for file in issuers}.values()),
            crl_expired="accept" if expired == {"accept"} else "refuse",
            revoked=self.revoked.union(*(trust.revoked for trust in self.tenants)),
        )

    def _own_crls(self) -> Iterator[File]:
        """Yield the CRLs of the CAs that are trusted here. An inherited file may also contain CRLs of other CAs.

        The TLS layer refuses a CRL without its CA, so those are left out.
        """
        every = (self, *self.tenants)
        # By fingerprint and by path, because a tenant that inherits has the same CAs and files as its listener.
        authorities = {ca.sha256: ca for trust in every for ca in trust.authorities}.values()
        for crl_file in {path: file for trust in every for path, file in trust.crls}.values():
            own = [crl.pem for crl in crl_file.crls if any(crl.is_of(ca) for ca in authorities)]
            if len(own) == len(crl_file.crls):
                yield crl_file.file  # shared, not copied: a CRL may be large, and many tenants may inherit it
            elif own:
                yield replace(crl_file.file, data=b"".join(own))


@dataclass(frozen=True, slots=True)
class CompiledTls:
    """Effective TLS of a listener, or of a tenant on one. `certificates` is empty on a plaintext listener."""

    path: KeyPath
    profile: str
    certificates: tuple[OwnCertificate, ...]
    trust: ClientTrust

    def settings(self, where: str) -> TlsSettings:
        """Return the form for the TLS layer. `where`: the `file:line` that messages name."""
        pairs: tuple[KeyPair, ...] = tuple(certificate.pair for certificate in self.certificates)
        return TlsSettings(self.profile, pairs, self.trust.settings, where)


@dataclass(frozen=True, slots=True)
class TlsPlace:
    """A `tls` block of the configuration and the path of its key."""

    path: KeyPath
    tls: TenantTlsModel

    def gives(self, key: str) -> bool:
        """Return whether the block sets `key` itself."""
        return key in self.tls.model_fields_set

    def gives_auth(self, key: str) -> bool:
        """Return whether the `client_auth` of the block sets `key` itself."""
        return self.gives("client_auth") and key in self.tls.client_auth.model_fields_set


@dataclass(slots=True)
class TlsCompiler:
    """Computes effective TLS. `pinned`: the pinned certificates of each tenant."""

    material: Material
    tenants: Mapping[str, TenantModel]
    pinned: Mapping[str, tuple[Pinned, ...]]

    def of_listener(self, name: str, tls: ListenerTlsModel, reachable: tuple[str, ...]) -> CompiledTls:
        """Return the TLS for clients without SNI. `from_tenants` means the CAs of all `reachable` tenants."""
        path = ("listeners", name, "tls")
        own = self._effective(path, (TlsPlace(path, tls),), reachable)
        tenants = tuple(self.of_tenant(tenant, name, tls).trust for tenant in reachable)
        return replace(own, trust=replace(own.trust, tenants=tenants))

    def of_tenant(self, name: str, listener: str, tls: ListenerTlsModel | None) -> CompiledTls:
        """Return the TLS for clients whose SNI selects this tenant. `tls` None: a plaintext listener."""
        # Also for a tenant without server names: the decision and the checks need its client_auth.
        own = self.tenants[name].tls
        path: KeyPath = ("tenants", name) if own is None else ("tenants", name, "tls")
        places = [] if own is None else [TlsPlace(path, own)]
        if tls is not None:
            places.append(TlsPlace(("listeners", listener, "tls"), tls))
        return self._effective(path, tuple(places) or (TlsPlace(path, TenantTlsModel()),), (name,))

    def _effective(self, path: KeyPath, places: tuple[TlsPlace, ...], tenants: tuple[str, ...]) -> CompiledTls:
        # The nearest block that sets a key decides. Where none does, the model of the last block has the default.
        def source(key: str) -> TenantTlsModel:
            return next((place.tls for place in places if place.gives(key)), places[-1].tls)

        def auth(key: str) -> ClientAuthModel:
            return next(
                (place.tls.client_auth for place in places if place.gives_auth(key)), places[-1].tls.client_auth
            )

        profile = source("profile").profile
        return CompiledTls(
            path,
            profile,
            tuple(self._certificates(places, profile)),
            ClientTrust(
                path=path,
                mode=auth("mode").mode,
                ca=self._authorities(places, tenants),
                pinned=tuple(pinned for tenant in tenants for pinned in self.pinned[tenant]),
                crls=tuple(self._crls(places)),
                crl_expired=auth("crl_expired").crl_expired,
                revoked=frozenset(auth("revoked").revoked),
            ),
        )

    def _certificates(self, places: tuple[TlsPlace, ...], profile: str) -> Iterator[OwnCertificate]:
        place = next((place for place in places if place.gives("certificates")), None)
        for index, certificate in enumerate((place and place.tls.certificates) or ()):
            assert place is not None
            path = (*place.path, "certificates", index)
            found = self.material.server_certificate(certificate, path)
            if found is not None:
                # Checked here, not in `Material`, since one certificate may serve a legacy and a current profile.
                if profile not in LEGACY_PROFILES:
                    self.material.check_strength(found, path)
                yield found

    def _authorities(self, places: tuple[TlsPlace, ...], tenants: tuple[str, ...]) -> dict[str, CaFile]:
        place = next((place for place in places if place.gives_auth("ca")), None)
        if place is None:
            return {}
        ca, path = place.tls.client_auth.ca, (*place.path, "client_auth", "ca")
        if ca is None or not ca.from_tenants:
            return self._ca_files(ca, path)
        if place.path[0] == "tenants":  # a tenant that inherits the word has the listener's block as its `place`
            self.material.tell("E110", path, "from_tenants is for listeners only: name the CAs of this tenant")
            return {}
        found: dict[str, CaFile] = {}
        for tenant in tenants:
            tls = self.tenants[tenant].tls
            own = None if tls is None else tls.client_auth.ca
            for name, file in self._ca_files(own, ("tenants", tenant, "tls", "client_auth", "ca")).items():
                # Two tenants may give one name to different CAs. On the listener the second one is `tenant/name`, which
                # no configured name can equal, as names contain no slash.
                known = found.setdefault(name, file)
                if known.file.data != file.file.data:
                    found[f"{tenant}/{name}"] = file
        return found

    def _ca_files(self, ca: ClientCa | None, path: KeyPath) -> dict[str, CaFile]:
        found = {}
        for name, file in (ca.files if ca is not None else {}).items():
            ca_file = self.material.ca_file(file, (*path, name))
            if ca_file is not None:
                found[name] = ca_file
        return found

    def _crls(self, places: tuple[TlsPlace, ...]) -> Iterator[tuple[KeyPath, CrlFile]]:
        place = next((place for place in places if place.gives_auth("crl")), None)
        for index, file in enumerate((place and place.tls.client_auth.crl) or ()):
            assert place is not None
            path = (*place.path, "client_auth", "crl", index)
            found = self.material.crl_file(file, path)
            if found is not None:
                yield path, found
