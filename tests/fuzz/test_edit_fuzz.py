"""Edits of random requests and answers, against a model that builds the expected PDU itself, and read by pynetdicom.

The PDUs are built item by item: unknown items, padded UIDs and odd reserved bytes must come through unharmed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.pdu import (
    InvalidPduParameter,
    edit_associate_rq,
    parse_associate_ac,
    parse_associate_rq,
    restore_associate_ac,
)
from proxy.pdu.encode import encode_ae_title, encode_item
from tests.support import pdus

UNKNOWN = encode_item(0xEE, b"kept")
SOP_CLASSES = ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.3", "1.3.12.2.1107")
SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.113619.5.2")

sop_classes = st.sampled_from(SOP_CLASSES)
syntaxes = st.sampled_from(SYNTAXES)
context_ids = st.integers(0, 127).map(lambda i: 2 * i + 1)
paddings = st.sampled_from((b"", b"", b"\0", b" "))
titles = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\"), min_size=1, max_size=16
)


@dataclass(frozen=True)
class Context:
    """Of a request with `syntaxes`; of an answer with `result` and one of them."""

    context_id: int
    sop_class: str
    syntaxes: tuple[str, ...]
    padding: bytes = b""
    unknown: bytes = b""
    result: int = 0

    def asked(self) -> bytes:
        uids = [pdus.uid_item(0x40, uid.encode() + self.padding) for uid in self.syntaxes]
        body = pdus.uid_item(0x30, self.sop_class.encode() + self.padding) + self.unknown + b"".join(uids)
        return encode_item(0x20, bytes((self.context_id, 0xA1, 0xA2, 0xA3)) + body)

    def answered(self) -> bytes:
        return pdus.answer(self.context_id, self.result, *self.syntaxes)


@dataclass(frozen=True)
class Negotiation:
    """A role selection item, or with `item_type` 56H or 57H an extended negotiation item."""

    item_type: int
    sop_class: str
    scu: int = 0
    scp: int = 0
    padding: bytes = b""

    def encoded(self) -> bytes:
        body = pdus.counted(self.sop_class.encode() + self.padding)
        if self.item_type == 0x54:
            return encode_item(0x54, body + bytes((self.scu, self.scp)))
        return encode_item(
            self.item_type, body + (b"\1\0\1" if self.item_type == 0x56 else pdus.counted(b"1.2") + b"\0\0")
        )


@dataclass(frozen=True)
class Request:
    """An A-ASSOCIATE-RQ. `unknown` are the items of unknown type in it."""

    contexts: tuple[Context, ...]
    negotiations: tuple[Negotiation, ...]
    identity: bytes
    called: str = "PACS"
    unknown: bytes = UNKNOWN

    def encoded(self) -> bytes:
        sub_items = (*(item.encoded() for item in self.negotiations), self.unknown, self.identity)
        items = (pdus.APPLICATION, self.unknown, *(context.asked() for context in self.contexts))
        called = encode_ae_title(self.called)
        return pdus.associate_rq(*items, pdus.user_information(*sub_items), called=called, reserved=b"\xa5" * 32)


@dataclass(frozen=True)
class Policy:
    """The arguments of the edits."""

    keep_contexts: frozenset[int] | None
    transfer_syntaxes: frozenset[str] | None
    scp_roles: frozenset[str] | None

    def contexts(self, request: Request) -> tuple[Context, ...]:
        """The contexts that are forwarded."""
        return tuple(
            replace(context, syntaxes=tuple(uid for uid in context.syntaxes if self._stays(uid)))
            for context in request.contexts
            if self.keep_contexts is None or context.context_id in self.keep_contexts
        )

    def refused(self, request: Request) -> frozenset[int]:
        return frozenset(c.context_id for c in request.contexts) - {c.context_id for c in self.contexts(request)}

    def negotiations(self, request: Request, items: Iterable[Negotiation]) -> Iterator[Negotiation]:
        """The part of `items` that may pass; they are of the request or of its answer."""
        named = {context.sop_class for context in self.contexts(request)}
        for item in items:
            if self.refused(request) and item.sop_class not in named:
                continue
            if item.scp and self.scp_roles is not None and item.sop_class not in self.scp_roles:
                if item.scu:
                    yield replace(item, scp=0)
            else:
                yield item

    def _stays(self, syntax: str) -> bool:
        return self.transfer_syntaxes is None or syntax in self.transfer_syntaxes


contexts = st.builds(
    Context,
    context_ids,
    sop_classes,
    st.lists(syntaxes, min_size=1, max_size=5).map(tuple),
    paddings,
    st.sampled_from((b"", UNKNOWN)),
)
proposals = st.lists(contexts, max_size=8, unique_by=lambda context: context.context_id).map(tuple)
roles = st.builds(Negotiation, st.just(0x54), sop_classes, st.integers(0, 1), st.integers(0, 1), paddings)
extended = st.builds(Negotiation, st.just(0x56), sop_classes)
common = st.builds(Negotiation, st.just(0x57), sop_classes)


def negotiations(items: st.SearchStrategy[Negotiation]) -> st.SearchStrategy[tuple[Negotiation, ...]]:
    return st.lists(items, max_size=6, unique_by=lambda item: (item.item_type, item.sop_class)).map(tuple)


identities = st.sampled_from((b"", pdus.identity(2, b"alice", b"secret")))
requests = st.builds(Request, proposals, negotiations(roles | extended | common), identities)
grants = negotiations(roles | extended)


@st.composite
def policies(draw: st.DrawFn, request: Request) -> Policy:
    """A context is kept only where a transfer syntax of it stays, as the caller guarantees."""
    stay = draw(st.none() | st.frozensets(syntaxes, min_size=1))
    possible = [c.context_id for c in request.contexts if stay is None or not stay.isdisjoint(c.syntaxes)]
    keep = frozenset(draw(st.sets(st.sampled_from(possible)))) if possible and draw(st.booleans()) else None
    if keep is None and len(possible) < len(request.contexts):
        keep = frozenset(possible)
    return Policy(keep, stay, draw(st.none() | st.frozensets(sop_classes)))


def encode_answer(
    answers: Iterable[Context], items: Iterable[Negotiation], tail: bytes = b"", echoed: bytes = bytes(64)
) -> bytes:
    information = pdus.user_information(*(item.encoded() for item in items), UNKNOWN, tail)
    pdu = pdus.associate_ac(pdus.APPLICATION, UNKNOWN, *(answer.answered() for answer in answers), information)
    return pdu[:10] + echoed + pdu[74:]


def restore(pdu: bytes, request: Request, policy: Policy, **changes: Any) -> bytes:
    original = request.encoded()
    return restore_associate_ac(
        pdu,
        parse_associate_ac(pdu),
        parse_associate_rq(original),
        original,
        refused=policy.refused(request),
        transfer_syntaxes=policy.transfer_syntaxes,
        scp_roles=policy.scp_roles,
        **changes,
    )


@given(requests, titles, st.booleans(), st.data())
def test_an_edited_request_is_the_request_without_what_was_cut(
    request: Request, called: str, strip: bool, data: st.DataObject
) -> None:
    policy = data.draw(policies(request))
    changes = {**vars(policy), "called": called, "strip_user_identity": strip}
    pdu = request.encoded()
    parsed = parse_associate_rq(pdu)
    assert edit_associate_rq(pdu, parsed) is pdu
    edited = edit_associate_rq(pdu, parsed, **changes)
    forwarded = replace(
        request,
        contexts=policy.contexts(request),
        negotiations=tuple(policy.negotiations(request, request.negotiations)),
        identity=b"" if strip else request.identity,
        called=called,
    )
    assert edited == forwarded.encoded()

    again = parse_associate_rq(edited)
    assert edit_associate_rq(edited, again, **changes) is edited
    found = [(item.context_id, item.abstract_syntax, item.transfer_syntaxes) for item in again.presentation_contexts]
    assert found == [(item.context_id, item.sop_class, item.syntaxes) for item in forwarded.contexts]
    assert (again.user_information.user_identity is None) == (strip or not request.identity)


@given(requests, st.data())
def test_pynetdicom_reads_an_edited_request_alike(request: Request, data: st.DataObject) -> None:
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    # pynetdicom reads no unknown items, and no padding.
    request = replace(
        request,
        contexts=tuple(replace(context, padding=b"", unknown=b"") for context in request.contexts),
        negotiations=tuple(replace(item, padding=b"") for item in request.negotiations),
        unknown=b"",
    )
    policy = data.draw(policies(request))
    pdu = request.encoded()
    decoded: Any = A_ASSOCIATE_RQ()
    decoded.decode(edit_associate_rq(pdu, parse_associate_rq(pdu), **vars(policy)))
    assert [
        (item.context_id, item.abstract_syntax, tuple(item.transfer_syntax)) for item in decoded.presentation_context
    ] == [(item.context_id, item.sop_class, item.syntaxes) for item in policy.contexts(request)]
    information = decoded.user_information
    kept = list(policy.negotiations(request, request.negotiations))
    assert {uid: (item.scu_role, item.scp_role) for uid, item in information.role_selection.items()} == {
        item.sop_class: (bool(item.scu), bool(item.scp)) for item in kept if item.item_type == 0x54
    }
    for found, item_type in ((information.ext_neg, 0x56), (information.common_ext_neg, 0x57)):
        assert [item.sop_class_uid for item in found] == [i.sop_class for i in kept if i.item_type == item_type]


@given(requests, grants, st.booleans(), st.none() | st.binary(max_size=20), st.data())
def test_a_restored_answer_is_the_answer_to_all_contexts(
    request: Request, granted: tuple[Negotiation, ...], echo: bool, response: bytes | None, data: st.DataObject
) -> None:
    policy = data.draw(policies(request))
    forwarded = {context.context_id: context for context in policy.contexts(request)}
    answers: list[Context] = []
    for context in request.contexts:
        if context.context_id not in forwarded:
            answers.append(replace(context, result=1, syntaxes=context.syntaxes[:1]))
        elif data.draw(st.integers(0, 9)):  # otherwise the upstream leaves it out
            syntax = data.draw(st.sampled_from(forwarded[context.context_id].syntaxes))
            answers.append(replace(context, result=data.draw(st.sampled_from((0, 0, 3, 4))), syntaxes=(syntax,)))
    pdu = encode_answer((answer for answer in answers if answer.context_id in forwarded), granted)
    restored = restore(pdu, request, policy, titles=echo, identity_response=response)
    assert restored == encode_answer(
        answers,
        policy.negotiations(request, granted),
        b"" if response is None else encode_item(0x59, pdus.counted(response)),
        request.encoded()[10:74] if echo else bytes(64),
    )


@given(requests, st.lists(contexts, max_size=8, unique_by=lambda context: context.context_id), grants, st.data())
def test_no_answer_gives_the_requestor_what_was_not_forwarded(
    request: Request, theirs: list[Context], granted: tuple[Negotiation, ...], data: st.DataObject
) -> None:
    policy = data.draw(policies(request))
    forwarded = {context.context_id: context for context in policy.contexts(request)}
    ids = [context.context_id for context in request.contexts]
    theirs = [
        replace(
            answer,
            context_id=ids[index] if index < len(ids) else answer.context_id,
            result=data.draw(st.sampled_from((0, 0, 0, 1))),
            syntaxes=answer.syntaxes[:1],
        )
        for index, answer in enumerate(theirs)
        if index < len(ids) or answer.context_id not in ids
    ]
    pdu = encode_answer(theirs, granted)
    good = all(
        answer.result
        or (answer.context_id in forwarded and answer.syntaxes[0] in forwarded[answer.context_id].syntaxes)
        for answer in theirs
    )
    try:
        restored = parse_associate_ac(restore(pdu, request, policy))
    except InvalidPduParameter:
        assert not good
        return
    assert good
    results = {item.context_id: item.result for item in restored.presentation_contexts}
    assert {results[context_id] for context_id in policy.refused(request)} <= {1}
    granted_scp = {role.sop_class_uid for role in restored.user_information.role_selections if role.scp_role}
    assert policy.scp_roles is None or granted_scp <= policy.scp_roles
