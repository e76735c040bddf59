"""Meaning checks of TLS: client certificates that nothing trusts, CRLs, tenants weaker than their listener."""

from collections.abc import Iterable

from proxy.config.compile import Compiled, Reached
from proxy.config.compile_tls import CompiledTls
from proxy.config.findings import KeyPath
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.profiles import LEGACY_PROFILES
from proxy.x509.crl import Crl

_STRICTNESS = {"none": 0, "optional": 1, "required": 2}


def check_tls(configuration: Configuration, compiled: Compiled, material: Material) -> None:
    """Check client authentication, CRLs, the names in certificates, and each tenant against its listener."""
    # With a file missing, half of what follows would report its absence again: `Material` has reported the file.
    effective = [*compiled.listener_tls.values(), *(item.tls for item in compiled.reached)]
    if not material.incomplete:
        _check_crls(effective, material)
        for name, tls in compiled.listener_tls.items():
            _check_trust(tls, ("listeners", name, "tls", "client_auth"), "", material)
    for item in compiled.reached:
        listener = compiled.listener_tls.get(item.listener)
        if listener is None:
            _check_plaintext(item, material)
            continue
        # A tenant without a setting of its own would repeat the listener's finding.
        if not material.incomplete and item.tls.trust.policy != listener.trust.policy:
            path = (*item.tls.path, "client_auth") if item.tls.path[-1] == "tls" else item.tls.path
            _check_trust(item.tls, path, f" on listener {item.listener}", material)
        if configuration.tenants[item.tenant].server_names:
            _check_names_covered(configuration, item, material)
            _check_not_weaker(item, listener, material)
            _check_not_weaker_without_name(configuration, item, listener, material)
        else:
            _check_asked(item, listener, material)
    _check_effect(configuration, material)


def _check_trust(tls: CompiledTls, path: KeyPath, where: str, material: Material) -> None:
    trust = tls.trust
    if trust.mode == "none" or trust.trusts_any:
        return
    untrusting = (
        f"client_auth is {trust.mode}{where} and there is neither a `ca` nor a pinned certificate (cert.file of a peer)"
    )
    if trust.mode == "required":
        material.tell("E208", path, f"{untrusting}: every sender would be refused")
    else:
        material.tell("W208", path, f"{untrusting}: a sender that shows a certificate is refused")


def _check_plaintext(item: Reached, material: Material) -> None:
    if item.tls.trust.mode == "required":
        path = ("tenants", item.tenant, "tls", "client_auth", "mode")
        material.tell(
            "W206", path, f"never reached through plaintext listener {item.listener}, which asks for no certificate"
        )


def _check_asked(item: Reached, listener: CompiledTls, material: Material) -> None:
    """Report a tenant without server names that wants certificates its listener does not ask for.

    Without a server name the context of the listener makes the handshake.
    """
    mode = item.tls.trust.mode
    if mode != "none" and listener.trust.mode == "none" and item.tls.trust.trusts_any:
        so = "no sender reaches the tenant" if mode == "required" else "this has no effect"
        message = f"listener {item.listener} asks for no certificate, and without server_names {so}"
        material.tell("W206", ("tenants", item.tenant, "tls", "client_auth", "mode"), message)


def _check_names_covered(configuration: Configuration, item: Reached, material: Material) -> None:
    names = configuration.tenants[item.tenant].server_names or []
    for certificate in item.tls.certificates:
        covered = {name.lower() for name in certificate.chain[0].names.dns}
        for index, name in enumerate(names):
            wildcard = "*." + name.partition(".")[2]  # for a name `*.x` that is the name itself
            if name not in covered and wildcard not in covered:
                path = ("tenants", item.tenant, "server_names", index)
                file = certificate.pair.chain.path
                material.tell(
                    "W302", path, f"{name} is not among the DNS names in {file}; senders that check it will refuse"
                )


def _check_not_weaker(item: Reached, listener: CompiledTls, material: Material) -> None:
    """Report each setting by which a tenant, selected by its server name, is weaker than its listener."""
    own, base = item.tls, listener
    weaker = list[str]()
    if _STRICTNESS[own.trust.mode] < _STRICTNESS[base.trust.mode]:
        weaker.append(f"client_auth.mode is {own.trust.mode}, the listener's {base.trust.mode}")
    if own.profile in LEGACY_PROFILES and base.profile not in LEGACY_PROFILES:
        weaker.append(f"profile is {own.profile}, the listener's {base.profile}")
    if base.trust.revoked - own.trust.revoked:
        weaker.append("client_auth.revoked leaves out fingerprints of the listener's")
    # CRLs of CAs that only the listener trusts are no loss: the tenant refuses their certificates anyway.
    dropped = [path for path in _crl_files(base, own) if path not in _crl_files(own, own)]
    if dropped:
        weaker.append(f"client_auth.crl drops the listener's {', '.join(dropped)}")
    if own.trust.crl_expired == "accept" and base.trust.crl_expired == "refuse":
        weaker.append("client_auth.crl_expired is accept, the listener's refuse")
    for what in weaker:
        material.tell("W207", own.path, f"weaker than listener {item.listener}: {what}")


def _crl_files(tls: CompiledTls, trusting: CompiledTls) -> list[str]:
    """Return the CRL files of one block that concern the CAs of another."""
    authorities = trusting.trust.authorities
    return [
        file.file.path for _, file in tls.trust.crls if any(crl.is_of(ca) for crl in file.crls for ca in authorities)
    ]


def _check_not_weaker_without_name(
    configuration: Configuration, item: Reached, listener: CompiledTls, material: Material
) -> None:
    """Report a tenant with a current profile on a listener with a legacy one.

    A client without a server name gets the profile of the listener, even if the tenant's is stronger.
    """
    settings = configuration.listeners[item.listener]
    # Only if both are rejected does no client reach the listener's own context.
    if "reject" == settings.without_sni == settings.unknown_sni:
        return
    if listener.profile in LEGACY_PROFILES and item.tls.profile not in LEGACY_PROFILES:
        message = (
            f"without server name the tenant is reached with profile {listener.profile}, not {item.tls.profile}: "
            "set without_sni: reject"
        )
        material.tell("W207", ("listeners", item.listener, "tls", "profile"), message)


def _check_crls(effective: Iterable[CompiledTls], material: Material) -> None:
    """Report each CRL that is not signed by a CA trusted where the CRL applies, and each CRL that has ended."""
    # One finding for each CRL, not for each place that inherits it: a CA of any of these places is enough.
    found: dict[tuple[KeyPath, int], tuple[Crl, str, list[CompiledTls]]] = {}
    for tls in effective:
        for path, crl_file in tls.trust.crls:
            for index, crl in enumerate(crl_file.crls):
                found.setdefault((path, index), (crl, crl_file.file.path, []))[2].append(tls)
    for (path, _), (crl, file, places) in found.items():
        authorities = [ca for tls in places for ca in tls.trust.authorities]
        if not any(crl.is_of(ca) for ca in authorities):
            if any(crl.is_named_for(ca) for ca in authorities):
                message = f"{file}: the CRL of {crl.issuer} is not signed by the CA of that name"
            else:
                message = f"{file}: the issuer of the CRL, {crl.issuer}, is not among the CAs in client_auth.ca"
            material.tell("E309", path, message)
        elif crl.next_update is not None and crl.next_update <= material.now:
            accepts = all(tls.trust.crl_expired == "accept" for tls in places)
            then = "still used (crl_expired: accept)" if accepts else "the certificates of this CA are refused"
            material.tell("W305", path, f"{file}: the CRL of {crl.issuer} ended on {crl.next_update:%Y-%m-%d}; {then}")


def _check_effect(configuration: Configuration, material: Material) -> None:
    """Report a profile or certificates of a tenant without server names: the listener's are used there."""
    for name, tenant in configuration.tenants.items():
        if tenant.server_names or tenant.tls is None:
            continue
        for key in ("profile", "certificates"):
            if key in tenant.tls.model_fields_set:
                path = ("tenants", name, "tls", key)
                material.tell("W206", path, "without server_names this has no effect: the listener's is used")
