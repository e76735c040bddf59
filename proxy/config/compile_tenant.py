"""Turns the models of tenants and their peers into the values that the decision takes."""

from proxy.config.dictionary import sop_classes
from proxy.config.findings import lines_of, locate
from proxy.config.material import Material, Pinned
from proxy.config.models_tenant import PeerModel, TenantModel
from proxy.config.tree import Block
from proxy.dimse.services import ALL, expand
from proxy.policy import CertificateConditions, Peer, Tenant, UserConditions


def pinned_by_peer(name: str, tenant: TenantModel, material: Material) -> list[list[Pinned]]:
    """Return the pinned certificates of each peer, in the order of the peers."""
    found = list[list[Pinned]]()
    for index, peer in enumerate(tenant.peers):
        files = list[Pinned]()
        for number, file in enumerate((peer.cert.file if peer.cert is not None else None) or ()):
            pinned = material.pinned(file, ("tenants", name, "peers", index, "cert", "file", number))
            if pinned is not None:
                files.append(pinned)
        found.append(files)
    return found


def compile_tenant(name: str, tenant: TenantModel, root: Block, pinned: list[list[Pinned]]) -> Tenant:
    """Return the tenant for the decision. `pinned`: the pinned certificates of each peer."""
    return Tenant(
        name=name,
        upstream=tenant.upstream,
        peers=tuple(
            _peer(peer, pinned[index], locate(root, ("tenants", name, "peers", index))[0].file_and_line)
            for index, peer in enumerate(tenant.peers)
        ),
        server_names=tuple(tenant.server_names or ()),
        networks=None if tenant.networks is None else tuple(tenant.networks),
        called_aets=None if tenant.called_aets is None else frozenset(tenant.called_aets),
        routes=tenant.routes or {},
        observe_until=tenant.observe_until,
        uniform_rejects=tenant.uniform_rejects,
        fold_case=tenant.aet_case == "fold",
        accept_nul_padding=tenant.accept_nul_padding,
        max_associations=tenant.max_associations,
        idle=tenant.idle,
        rewrite_called_aet=tenant.rewrite.called_aet,
        sop_class_table=sop_classes(),
        where=lines_of(root, "tenants", name),
    )


def _peer(peer: PeerModel, pinned: list[Pinned], where: str) -> Peer:
    return Peer(
        name=peer_name(peer),
        aet=tuple(peer.aet),
        allow=expand(peer.allow or [ALL]),  # `allow` may be left out only with action: refuse
        source=None if peer.source is None else tuple(peer.source),
        cert=_conditions(peer, pinned),
        user=None
        if peer.user is None
        else UserConditions(frozenset(peer.user.names or ()), frozenset(peer.user.groups or ())),
        refuse=peer.action == "refuse",
        sop_classes=None if peer.sop_classes is None else frozenset(peer.sop_classes),
        transfer_syntaxes=None if peer.transfer_syntaxes is None else frozenset(peer.transfer_syntaxes),
        move_destinations=None if peer.move_destinations is None else tuple(peer.move_destinations),
        max_associations=peer.max_associations,
        rewrite_calling_aet=peer.rewrite.calling_aet,
        comment=peer.comment,
        where=where,
    )


def peer_name(peer: PeerModel) -> str:
    """Return the name of a peer: its `name`, or its first AE title."""
    return peer.name if peer.name is not None else peer.aet[0]


def _conditions(peer: PeerModel, pinned: list[Pinned]) -> CertificateConditions | None:
    cert = peer.cert
    if cert is None:
        return None
    return CertificateConditions(
        file=None if cert.file is None else frozenset(item.certificate.sha256 for item in pinned),
        san_dns=None if cert.san_dns is None else tuple(cert.san_dns),
        san_uri=None if cert.san_uri is None else tuple(cert.san_uri),
        subject_cn=None if cert.subject_cn is None else tuple(cert.subject_cn),
        sha256=None if cert.sha256 is None else frozenset(cert.sha256),
        spki_sha256=None if cert.spki_sha256 is None else frozenset(cert.spki_sha256),
        ca=None if cert.ca is None else tuple(cert.ca),
    )
