import re
import uuid

import pytest

from proxy.pdu import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    encode_abort,
    encode_associate_rj,
    encode_associate_rq,
    encode_p_data,
    encode_release_rq,
    parse_associate_rq,
)
from proxy.pdu.encode import encode_ae_title
from tests.support.pdus import (
    CT_IMAGE_STORAGE,
    DCMTK_ECHOSCU,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    encode_release_rp,
)


def test_short_pdus() -> None:
    assert encode_associate_rj(1, 3, 7).hex(" ") == "03 00 00 00 00 04 00 01 03 07"
    assert encode_release_rq().hex(" ") == "05 00 00 00 00 04 00 00 00 00"
    assert encode_release_rp().hex(" ") == "06 00 00 00 00 04 00 00 00 00"
    assert encode_abort(2, 6).hex(" ") == "07 00 00 00 00 04 00 00 02 06"


def test_p_data() -> None:
    assert encode_p_data(1, 3, b"abc").hex(" ") == "04 00 00 00 00 09 00 00 00 05 01 03 61 62 63"


def test_our_own_names() -> None:
    assert uuid.UUID(int=int(IMPLEMENTATION_CLASS_UID.removeprefix("2.25."))).version == 4
    assert re.fullmatch(r"[A-Z0-9_]{1,16}", IMPLEMENTATION_VERSION_NAME)


def test_the_same_request_as_dcmtk_but_for_a_reserved_byte() -> None:
    ours = encode_associate_rq(
        "PACS",
        "CT1",
        [(1, VERIFICATION, [IMPLICIT_LE])],
        implementation_class_uid="1.2.276.0.7230010.3.0.3.6.7",
        implementation_version_name="OFFIS_DCMTK_367",
    )
    assert ours == DCMTK_ECHOSCU.replace(b"\x01\x00\xff\x00\x30", b"\x01\x00\x00\x00\x30")


def test_request_with_all_that_we_can_say() -> None:
    pdu = encode_associate_rq(
        "SIXTEEN_LETTERS_",
        "CT1",
        [(1, VERIFICATION, [IMPLICIT_LE]), (3, CT_IMAGE_STORAGE, [EXPLICIT_LE, IMPLICIT_LE])],
        maximum_length=0,
        roles=[(CT_IMAGE_STORAGE, True, False)],
        user_identity=(2, True, b"alice", b"secret"),
    )
    request = parse_associate_rq(pdu)
    assert (request.called.title, request.calling.title) == ("SIXTEEN_LETTERS_", "CT1")
    assert [(c.context_id, c.abstract_syntax, c.transfer_syntaxes) for c in request.presentation_contexts] == [
        (1, VERIFICATION, (IMPLICIT_LE,)),
        (3, CT_IMAGE_STORAGE, (EXPLICIT_LE, IMPLICIT_LE)),
    ]
    information = request.user_information
    assert (information.maximum_length, information.implementation_class_uid) == (0, IMPLEMENTATION_CLASS_UID)
    assert information.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert [(r.scu_role, r.scp_role) for r in information.role_selections] == [(True, False)]
    user = information.user_identity
    assert user is not None
    assert (user.identity_type, user.positive_response_requested) == (2, True)
    assert (user.primary, user.secondary) == (b"alice", b"secret")


def test_a_title_that_does_not_fit_is_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError):
        encode_ae_title("SEVENTEEN_LETTERS")
