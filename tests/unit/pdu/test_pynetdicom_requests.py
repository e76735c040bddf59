"""Requests as pynetdicom encodes them, and edited ones read back by it: a second opinion on the tables."""

from proxy.pdu import (
    edit_associate_rq,
    encode_associate_rq,
    parse_associate_ac,
    parse_associate_rq,
    restore_associate_ac,
)
from tests.support.pdus import (
    CT_IMAGE_STORAGE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    MR_IMAGE_STORAGE,
    VERIFICATION,
    associate_ac,
    encode_associate_ac,
)


def pynetdicom_request() -> bytes:
    from pynetdicom import build_context, pdu_primitives
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    primitive = pdu_primitives.A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT1", "PACS"
    contexts = [build_context(VERIFICATION), build_context(CT_IMAGE_STORAGE)]
    contexts[0].context_id, contexts[1].context_id = 1, 3
    primitive.presentation_context_definition_list = contexts
    length = pdu_primitives.MaximumLengthNotification()
    length.maximum_length_received = 16_382
    class_uid = pdu_primitives.ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = "1.2.3"
    window = pdu_primitives.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    roles = pdu_primitives.SCP_SCU_RoleSelectionNegotiation()
    roles.sop_class_uid, roles.scu_role, roles.scp_role = CT_IMAGE_STORAGE, False, True
    extended = pdu_primitives.SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = CT_IMAGE_STORAGE, b"\2\0\3"
    common = pdu_primitives.SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = CT_IMAGE_STORAGE, "1.2.840.10008.4.2"
    common.related_general_sop_class_identification = ["1.2.3", "1.2.3.45"]
    user = pdu_primitives.UserIdentityNegotiation()
    user.user_identity_type, user.positive_response_requested = 2, True
    user.primary_field, user.secondary_field = b"alice", b"secret"
    primitive.user_information = [length, class_uid, window, roles, extended, common, user]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def test_all_items_are_read() -> None:
    request = parse_associate_rq(pynetdicom_request())
    assert [c.abstract_syntax for c in request.presentation_contexts] == [VERIFICATION, CT_IMAGE_STORAGE]
    information = request.user_information
    assert information.maximum_length == 16_382
    assert information.asynchronous_operations_window is not None
    assert information.asynchronous_operations_window.maximum_invoked == 5
    assert [(r.sop_class_uid, r.scu_role, r.scp_role) for r in information.role_selections] == [
        (CT_IMAGE_STORAGE, False, True)
    ]
    assert information.extended_negotiations[0].sop_class_uid == CT_IMAGE_STORAGE
    assert information.common_extended_negotiations[0].related_general_sop_class_uids == ("1.2.3", "1.2.3.45")
    user = information.user_identity
    assert user is not None and (user.primary, user.secondary) == (b"alice", b"secret")


def test_it_reads_what_we_edited() -> None:
    from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

    pdu = pynetdicom_request()
    request = parse_associate_rq(pdu)
    edited = A_ASSOCIATE_RQ()
    edited.decode(
        edit_associate_rq(pdu, request, called="OTHER", keep_contexts=frozenset({1}), strip_user_identity=True)
    )
    assert edited.called_ae_title.strip() == "OTHER"
    assert [item.abstract_syntax for item in edited.presentation_context] == [VERIFICATION]
    assert edited.user_information.user_identity is None
    assert edited.user_information.maximum_length == 16_382

    accept = associate_ac()
    answer = A_ASSOCIATE_AC()
    answer.decode(
        restore_associate_ac(
            accept, parse_associate_ac(accept), request, pdu, refused=frozenset({3}), identity_response=b"ok"
        )
    )
    assert [(item.context_id, item.result) for item in answer.presentation_context] == [(1, 0), (3, 1)]


def test_it_negotiates_what_we_edited_and_restored() -> None:
    """As requestor with both roles everywhere: MR is cut, CT keeps one transfer syntax and loses the SCP role."""
    from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
    from pynetdicom.presentation import negotiate_as_requestor

    classes = {1: VERIFICATION, 3: CT_IMAGE_STORAGE, 5: MR_IMAGE_STORAGE}
    syntaxes = [EXPLICIT_LE, IMPLICIT_LE]
    pdu = encode_associate_rq(
        "PACS",
        "CT1",
        [(i, uid, syntaxes) for i, uid in classes.items()],
        roles=[(u, True, True) for u in classes.values()],
    )
    request = parse_associate_rq(pdu)
    transfer_syntaxes, scp_roles = frozenset({IMPLICIT_LE}), frozenset({VERIFICATION})
    forwarded = A_ASSOCIATE_RQ()
    forwarded.decode(
        edit_associate_rq(
            pdu, request, keep_contexts=frozenset({1, 3}), transfer_syntaxes=transfer_syntaxes, scp_roles=scp_roles
        )
    )
    assert [(item.context_id, item.transfer_syntax) for item in forwarded.presentation_context] == [
        (1, [IMPLICIT_LE]),
        (3, [IMPLICIT_LE]),
    ]
    roles = forwarded.user_information.role_selection
    assert {uid: (role.scu_role, role.scp_role) for uid, role in roles.items()} == {
        VERIFICATION: (True, True),
        CT_IMAGE_STORAGE: (True, False),
    }

    # An upstream that grants whatever it knows of.
    everything = [(uid, True, True) for uid in classes.values()]
    accept = encode_associate_ac("PACS", "CT1", [(1, 0, IMPLICIT_LE), (3, 0, IMPLICIT_LE)], roles=everything)
    restored = A_ASSOCIATE_AC()
    restored.decode(
        restore_associate_ac(
            accept,
            parse_associate_ac(accept),
            request,
            pdu,
            refused=frozenset({5}),
            transfer_syntaxes=transfer_syntaxes,
            scp_roles=scp_roles,
        )
    )
    proposed = A_ASSOCIATE_RQ()
    proposed.decode(pdu)
    primitives = [item.to_primitive() for item in proposed.presentation_context]
    for primitive in primitives:
        primitive.scu_role = primitive.scp_role = True
    granted = restored.user_information.role_selection
    negotiated = negotiate_as_requestor(
        primitives,
        [item.to_primitive() for item in restored.presentation_context],
        {uid: (role.scu_role, role.scp_role) for uid, role in granted.items()},
    )
    assert [(item.result, item.transfer_syntax) for item in negotiated] == [
        (0, [IMPLICIT_LE]),
        (0, [IMPLICIT_LE]),
        (1, [EXPLICIT_LE]),
    ]
    assert [(item.as_scu, item.as_scp) for item in negotiated[:2]] == [(True, True), (True, False)]
    assert MR_IMAGE_STORAGE not in granted
