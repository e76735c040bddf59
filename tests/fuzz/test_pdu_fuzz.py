"""Parsers on any bytes: only the documented errors, and encoded PDUs read back as they were meant."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.pdu import (
    PduError,
    PduFramer,
    PduType,
    RequestAmbiguous,
    encode_associate_rq,
    parse_associate_ac,
    parse_associate_rq,
    read_ae_title,
)
from proxy.pdu.encode import encode_ae_title, encode_item, encode_pdu

titles = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\"), min_size=1, max_size=16
)
uids = st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,6}){0,7}", fullmatch=True)
context_ids = st.integers(0, 127).map(lambda i: 2 * i + 1)
proposals = st.lists(
    st.tuples(context_ids, uids, st.lists(uids, min_size=1, max_size=4)),
    max_size=8,
    unique_by=lambda proposal: proposal[0],
)
roles = st.lists(st.tuples(uids, st.booleans(), st.booleans()), max_size=3, unique_by=lambda role: role[0])
identities = st.none() | st.tuples(st.just(2), st.booleans(), st.binary(max_size=40), st.binary(max_size=40))
lengths = st.integers(0, 0xFFFFFFFF)

requests = st.fixed_dictionaries(
    {"called": titles, "calling": titles, "contexts": proposals},
    optional={"maximum_length": lengths, "roles": roles, "user_identity": identities},
)
# Items of every type, nested at random, so that broken ones are reached after valid headers.
leaves = st.binary(max_size=40) | uids.map(str.encode) | st.sampled_from((b"\0\0\x40\0", b"\1\0\0\0", b"1.2\0"))
item_types = st.sampled_from((0x10, 0x20, 0x21, 0x30, 0x40, 0x50, *range(0x51, 0x5A), 0xEE))
items = st.recursive(
    st.builds(encode_item, item_types, leaves),
    lambda inner: st.builds(
        lambda item_type, prefix, parts: encode_item(item_type, prefix + b"".join(parts)),
        item_types,
        st.sampled_from((b"", b"\1\0\0\0", b"\3\0\0\0")),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)
bodies = st.builds(
    lambda fixed, parts, tail: fixed + b"".join(parts) + tail,
    st.binary(min_size=68, max_size=68) | st.just(b"\0\1\0\0" + b"PACS".ljust(16) + b"CT1".ljust(16) + bytes(32)),
    st.lists(items, max_size=8),
    st.binary(max_size=5),
)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(PduError, RequestAmbiguous):
        parse_associate_rq(data)
    with contextlib.suppress(PduError):
        parse_associate_ac(data)


@given(bodies)
def test_any_items(body: bytes) -> None:
    with contextlib.suppress(PduError, RequestAmbiguous):
        request = parse_associate_rq(encode_pdu(PduType.A_ASSOCIATE_RQ, body))
        repr(request)
    with contextlib.suppress(PduError):
        parse_associate_ac(encode_pdu(PduType.A_ASSOCIATE_AC, body))


@given(requests, st.data())
def test_one_changed_byte(fields: dict[str, Any], data: st.DataObject) -> None:
    pdu = bytearray(encode_associate_rq(**fields))
    at = data.draw(st.integers(0, len(pdu) - 1))
    pdu[at] = data.draw(st.integers(0, 255))
    message = ""
    try:
        parse_associate_rq(bytes(pdu))
    except (PduError, RequestAmbiguous) as error:
        message = str(error)
    assert message.isascii() and message.isprintable()


@given(st.binary(min_size=16, max_size=16))
def test_a_title_is_readable_or_ambiguous(raw: bytes) -> None:
    with contextlib.suppress(RequestAmbiguous):
        title = read_ae_title(raw)
        assert title.title.isascii() and (title.title.isprintable() or not title.title)
        assert read_ae_title(encode_ae_title(title.title)).title == title.title


@given(requests)
def test_round_trip(fields: dict[str, Any]) -> None:
    request = parse_associate_rq(encode_associate_rq(**fields))
    assert (request.called.title, request.calling.title) == (fields["called"], fields["calling"])
    found = [(c.context_id, c.abstract_syntax, list(c.transfer_syntaxes)) for c in request.presentation_contexts]
    assert found == fields["contexts"]
    information = request.user_information
    assert information.maximum_length == fields.get("maximum_length", 16_384)
    assert [(r.sop_class_uid, r.scu_role, r.scp_role) for r in information.role_selections] == fields.get("roles", [])
    identity = information.user_identity
    expected = fields.get("user_identity")
    assert (identity is None) == (expected is None)
    if identity is not None:
        found_identity = (
            identity.identity_type,
            identity.positive_response_requested,
            identity.primary,
            identity.secondary,
        )
        assert found_identity == expected


@given(requests, st.binary(max_size=20), st.lists(st.integers(1, 50), min_size=1))
def test_the_framer_ignores_chunk_boundaries(fields: dict[str, Any], tail: bytes, steps: list[int]) -> None:
    pdu = encode_associate_rq(**fields)
    wire, found, framer = pdu + tail, [], PduFramer(len(pdu), frozenset({PduType.A_ASSOCIATE_RQ}))
    position = index = 0
    while position < len(wire):
        step = steps[index % len(steps)]
        found.append(framer.feed(wire[position : position + step]))
        position, index = position + step, index + 1
    assert [item for item in found if item is not None] == [pdu]
    assert (framer.trailing, framer.received, framer.boundary) == (tail, len(wire), not tail)


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_the_framer_only_raises_pdu_errors(chunks: list[bytes]) -> None:
    framer = PduFramer(1_000, frozenset(PduType))
    with contextlib.suppress(PduError):
        for chunk in chunks:
            framer.feed(chunk)
