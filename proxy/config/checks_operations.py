"""Checks of what operations mean: words without effect, SOP classes never permitted, a missing transfer syntax."""

from proxy.config.dictionary import IMPLICIT_VR_LITTLE_ENDIAN, keyword_of, sop_classes
from proxy.config.findings import KeyPath
from proxy.config.material import Material
from proxy.config.models_root import Configuration
from proxy.config.models_tenant import PeerModel
from proxy.dimse.services import ALL, Operation, classify, expand, permitted
from proxy.policy.contexts import SELF


def check_operations(configuration: Configuration, material: Material) -> None:
    """Check `allow`, `sop_classes`, `transfer_syntaxes` and `move_destinations` of every peer."""
    for name, tenant in configuration.tenants.items():
        for index, peer in enumerate(tenant.peers):
            path = ("tenants", name, "peers", index)
            if peer.allow is None:
                if peer.action != "refuse":
                    material.tell("E112", path, "allow is missing: e.g. allow: [modality], or action: refuse")
                continue
            _check_covered(peer, path, material)
            _check_sop_classes(peer, path, material)
            _check_transfer_syntaxes(peer, path, material)
            _check_move_destinations(peer, path, material)


def _check_covered(peer: PeerModel, path: KeyPath, material: Material) -> None:
    words: list[str] = [*(peer.allow or ())]
    for index, word in enumerate(words):
        place = (*path, "allow", index)
        if word in words[:index]:
            material.tell("W209", place, f"{word} is listed twice")
        elif word != ALL and ALL in words:
            material.tell("W209", place, f"{word} adds nothing to {ALL}")
        elif word == Operation.STORE_STANDARD and Operation.STORE in expand(words):
            material.tell("W209", place, f"{word} adds nothing to store, which covers private classes too: keep one")


def _check_sop_classes(peer: PeerModel, path: KeyPath, material: Material) -> None:
    may = permitted(expand(peer.allow or ()))
    for index, uid in enumerate(peer.sop_classes or ()):
        operation = classify(uid, sop_classes()).operation
        if operation not in may.as_scu and operation not in may.as_scp:
            message = f"allow never permits {keyword_of(uid) or uid}: add {operation}"
            material.tell("W210", (*path, "sop_classes", index), message)


def _check_transfer_syntaxes(peer: PeerModel, path: KeyPath, material: Material) -> None:
    if peer.transfer_syntaxes is not None and IMPLICIT_VR_LITTLE_ENDIAN not in peer.transfer_syntaxes:
        message = "ImplicitVRLittleEndian is missing: some devices support nothing else (PS3.5 section 10.1)"
        material.tell("W211", (*path, "transfer_syntaxes"), message)


def _check_move_destinations(peer: PeerModel, path: KeyPath, material: Material) -> None:
    if peer.move_destinations != [SELF] and Operation.MOVE not in permitted(expand(peer.allow or ())).as_scu:
        material.tell("W206", (*path, "move_destinations"), "without effect: allow does not contain move")
