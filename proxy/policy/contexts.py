"""Selects the presentation contexts of a request that the rules of its peer (`allow`) keep."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from proxy.dimse.services import Operation, SopClass, classify, is_storage, permitted
from proxy.pdu import AAssociateRQ, PresentationContext, RoleSelection
from proxy.pdu.ae_title import check_ae_title
from proxy.policy.model import Accept, Peer
from proxy.policy.patterns import TitleMatcher, fold_title

_MOST_NAMED = 4  # contexts that one sentence names
#: The word of `move_destinations` that stands for the calling AE title.
SELF = "self"


@dataclass(frozen=True, slots=True)
class Selection:
    """The kept contexts by their id, and the SOP classes whose SCP role may stay (None: all)."""

    contexts: Mapping[int, SopClass]
    scp_roles: frozenset[str] | None


def select_contexts(request: AAssociateRQ, peer: Peer | None, table: Mapping[str, SopClass]) -> Selection:
    """Apply `allow`, `sop_classes` and `transfer_syntaxes`. Without a peer nothing is cut."""
    contexts = request.presentation_contexts
    if peer is None:
        return Selection({item.context_id: classify(item.abstract_syntax, table) for item in contexts}, None)
    roles = request.user_information.role_selections
    offered = offered_scp_roles(roles)
    may, sop_classes, transfer_syntaxes = permitted(peer.allow), peer.sop_classes, peer.transfer_syntaxes
    kept: dict[int, SopClass] = {}
    for item in contexts:
        uid = item.abstract_syntax
        sop_class = classify(uid, table)
        operation = sop_class.operation
        # One allowed role keeps a context: a storage context on which C-GET delivers needs only the SCP role.
        if (
            (operation in may.as_scu or (uid in offered and operation in may.as_scp))
            and (sop_classes is None or uid in sop_classes)
            and (transfer_syntaxes is None or not transfer_syntaxes.isdisjoint(item.transfer_syntaxes))
        ):
            kept[item.context_id] = sop_class
    # A context that stays for its SCU role must not keep an SCP role that `allow` does not give.
    granted = frozenset(uid for uid in offered if classify(uid, table).operation in may.as_scp)
    return Selection(kept, None if len(granted) == len(offered) else granted)


def offered_scp_roles(roles: Collection[RoleSelection]) -> frozenset[str]:
    """Return the SOP classes for which the requestor offers to be SCP (PS3.7 section D.3.3.4)."""
    return frozenset(role.sop_class_uid for role in roles if role.scp_role) if roles else frozenset()


def why_cut(
    context: PresentationContext, peer: Peer, table: Mapping[str, SopClass], offered: Collection[str]
) -> str | None:
    """Return in words why the peer's rules cut a context, None if they keep it. `offered`: see `offered_scp_roles`."""
    uid = context.abstract_syntax
    sop_class = classify(uid, table)
    may, scp = permitted(peer.allow), uid in offered
    if sop_class.operation not in may.as_scu and not (scp and sop_class.operation in may.as_scp):
        if sop_class.operation in may.as_scp:
            return f"{not_in_allow(sop_class, peer)}, or for C-GET the SCP role in the request"
        return not_in_allow(sop_class, peer)
    if peer.sop_classes is not None and uid not in peer.sop_classes:
        return "it is not one of the peer's sop_classes"
    if peer.transfer_syntaxes is not None and peer.transfer_syntaxes.isdisjoint(context.transfer_syntaxes):
        return "none of its transfer syntaxes is one of the peer's transfer_syntaxes"
    return None


def not_in_allow(sop_class: SopClass, peer: Peer) -> str:
    """Return in words the operation that a class needs and `allow` lacks."""
    if sop_class.operation is Operation.STORE:
        needs = "as a private or unknown class it needs store or other"
    else:
        needs = f"it needs {'store or store_standard' if is_storage(sop_class) else sop_class.operation}"
    return f"{needs}, which is not in allow ({', '.join(sorted(peer.allow))})"


def describe_cuts(request: AAssociateRQ, peer: Peer, selection: Selection, table: Mapping[str, SopClass]) -> str:
    """Describe the contexts that are cut, and why."""
    kept = selection.contexts
    cut = {item.abstract_syntax: item for item in request.presentation_contexts if item.context_id not in kept}
    offered = offered_scp_roles(request.user_information.role_selections)
    whys = dict[str | None, list[str]]()
    for uid in islice(cut, _MOST_NAMED):
        whys.setdefault(why_cut(cut[uid], peer, table, offered), []).append(uid)
    words = [f"{', '.join(uids)}: {why}" for why, uids in whys.items()]
    if len(cut) > _MOST_NAMED:
        words.append(f"and {len(cut) - _MOST_NAMED} more")
    return "; ".join(words)


def move_allowed(accept: Accept, destination: str, calling_title: str) -> bool:
    """Return whether a sender named `calling_title` may C-MOVE to `destination`. Both come without padding."""
    titles = accept.move_destinations
    if titles is None:
        return True
    if check_ae_title(destination) is not None:
        return False  # a PACS that reads to the first NUL would take "EVIL\0_WS" for EVIL
    fold = accept.tenant.fold_case
    if SELF in titles and _comparable(destination, fold=fold) == _comparable(calling_title, fold=fold):
        return True
    return bool(_matcher(titles, fold=fold).find(destination)[0])


@lru_cache(maxsize=4096)  # keys come from the configuration alone
def _matcher(titles: tuple[str, ...], *, fold: bool) -> TitleMatcher:
    return TitleMatcher.build([tuple(title for title in titles if title != SELF)], fold=fold)


def _comparable(title: str, *, fold: bool) -> str:
    return fold_title(title) if fold else title
