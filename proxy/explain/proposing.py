"""The presentation contexts that a simulated sender proposes, and the answer to each, for `dicomgate explain`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proxy.config.dictionary import SOP_CLASS, TRANSFER_SYNTAX, keyword_of, sop_classes, uid_of
from proxy.config.nearest import did_you_mean
from proxy.config.quoting import shown
from proxy.config.scalars import uid_or_keyword
from proxy.dimse.services import Operation, SopClass, classify, is_storage, permitted
from proxy.pdu import PresentationContext, Span, encode_associate_rq
from proxy.policy import Peer
from proxy.policy.contexts import not_in_allow, why_cut

#: Proposed for every SOP class: uncompressed.
TRANSFER_SYNTAXES = tuple(
    uid_of(keyword, TRANSFER_SYNTAX) for keyword in ("ImplicitVRLittleEndian", "ExplicitVRLittleEndian")
)
_PRIVATE = "1.3.12.2.1107.5.9.1"  # Siemens CSA Non-Image Storage
#: Operation -> the SOP classes to propose for it if the sender names none.
_EXAMPLES: Mapping[Operation, tuple[str, ...]] = {
    Operation.ECHO: ("Verification",),
    Operation.STORE: ("CTImageStorage", _PRIVATE),
    Operation.STORE_STANDARD: ("CTImageStorage",),
    Operation.FIND: ("StudyRootQueryRetrieveInformationModelFind",),
    Operation.WORKLIST: ("ModalityWorklistInformationModelFind",),
    Operation.MOVE: ("StudyRootQueryRetrieveInformationModelMove",),
    Operation.GET: ("StudyRootQueryRetrieveInformationModelGet", "CTImageStorage"),
    Operation.STORAGE_COMMITMENT: ("StorageCommitmentPushModel",),
    Operation.MPPS: ("ModalityPerformedProcedureStep",),
    Operation.UPS: ("UnifiedProcedureStepPush",),
    Operation.PRINT: ("BasicGrayscalePrintManagementMeta",),
    Operation.OTHER: ("InstanceAvailabilityNotification",),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed SOP class. `retrieved`: its instances come by C-GET, so the sender offers the SCP role."""

    uid: str
    retrieved: bool = False

    def __str__(self) -> str:
        name = keyword_of(self.uid) or f"{self.uid} (private or unknown)"
        if not is_storage(classify(self.uid, sop_classes())):
            return name
        return f"{name}, to {'retrieve' if self.retrieved else 'send'}"


@dataclass(frozen=True, slots=True)
class ContextAnswer:
    """The answer to a proposal. `why` is empty if it is allowed."""

    uid: str
    name: str
    allowed: bool
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return the value for `--format json`."""
        return asdict(self)


def propose(classes: Sequence[str], operations: Sequence[str]) -> tuple[Proposal, ...]:
    """Return proposals for SOP classes (UIDs or keywords) and operations; without both, an example of each operation.

    An operation that fits none of the classes is proposed by example. Raises ValueError for unknown words.
    """
    known = list(Operation)
    for word in operations:
        if word not in known:
            near = did_you_mean(word, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"--operation {shown(word)}: there is no such operation{near}")
    try:
        uids = [uid_of(uid_or_keyword(text), SOP_CLASS) for text in classes]
    except ValueError as error:
        raise ValueError(f"--sop-class: {error}") from None
    wanted = [Operation(word) for word in operations] or ([] if uids else known)
    proposals = list[Proposal]()
    for operation in wanted:
        examples = [uid_of(text, SOP_CLASS) for text in _EXAMPLES[operation]]
        fitting = [uid for uid in uids if _fits(uid, operation)] or examples
        if operation is Operation.GET and not any(sop_classes().get(uid) == SopClass(operation) for uid in fitting):
            fitting.insert(0, examples[0])  # storage classes alone retrieve nothing: a C-GET needs its own context
        proposals += _for(operation, fitting)
    proposed = {proposal.uid for proposal in proposals}
    proposals += [Proposal(uid) for uid in uids if uid not in proposed]
    return tuple(dict.fromkeys(proposals))


def _for(operation: Operation, uids: Collection[str]) -> Iterator[Proposal]:
    for uid in uids:
        yield Proposal(uid, operation is Operation.GET and is_storage(classify(uid, sop_classes())))


def _fits(uid: str, operation: Operation) -> bool:
    """Return whether an operation can use a SOP class. Storage classes fit both store and get."""
    sop_class = classify(uid, sop_classes())
    if is_storage(sop_class):
        standard = sop_class.operation is Operation.STORE_STANDARD
        return operation in (Operation.STORE, Operation.GET) or (standard and operation is Operation.STORE_STANDARD)
    return sop_class.operation is operation


def encode_proposals(called: str, calling: str, proposals: Sequence[Proposal]) -> bytes:
    """Return the A-ASSOCIATE-RQ that makes the proposals. Presentation context IDs are odd (PS3.8 Table 9-13)."""
    contexts = [(2 * index + 1, proposal.uid, TRANSFER_SYNTAXES) for index, proposal in enumerate(proposals)]
    # A role selection belongs to a SOP class and holds for all of its contexts (PS3.7 D.3.3.4): one for each class.
    retrieved = dict.fromkeys(proposal.uid for proposal in proposals if proposal.retrieved)
    return encode_associate_rq(called, calling, contexts, roles=[(uid, True, True) for uid in retrieved])


def answer_proposals(proposals: Sequence[Proposal], peer: Peer | None) -> tuple[ContextAnswer, ...]:
    """Answer each proposal by the rules of a peer. Without a peer all are allowed."""
    answers = list[ContextAnswer]()
    for proposal in proposals:
        why = None if peer is None else _why_not(proposal, peer)
        answers.append(ContextAnswer(proposal.uid, str(proposal), why is None, why or ""))
    return tuple(answers)


def _why_not(proposal: Proposal, peer: Peer) -> str | None:
    sop_class, may = classify(proposal.uid, sop_classes()), permitted(peer.allow)
    # `why_cut` keeps a storage context if the peer may either send or retrieve on it. This proposal is for one of the
    # two directions, so check that one first.
    if proposal.retrieved and sop_class.operation not in may.as_scp:
        return not_in_allow(SopClass(Operation.GET), peer)
    if not proposal.retrieved and sop_class.operation not in may.as_scu:
        return not_in_allow(sop_class, peer)
    context = PresentationContext(1, proposal.uid, TRANSFER_SYNTAXES, Span(0, 0))
    return why_cut(context, peer, sop_classes(), (proposal.uid,))
