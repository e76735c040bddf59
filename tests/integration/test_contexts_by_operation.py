"""Contexts that a peer may not use are cut out of its request, refused in the answer, and recorded."""

from collections.abc import Callable
from typing import Any

from proxy.config.dictionary import SOP_CLASS, TRANSFER_SYNTAX, uid_of
from proxy.pdu import AAssociateAC, AAssociateRQ, encode_associate_rq, parse_associate_ac, parse_associate_rq
from tests.support.client import client_context, connect, release
from tests.support.gateway import Gateway
from tests.support.pacs import Pacs, sink
from tests.support.site import Site, port_of

ECHO, CT, FIND, GET, COMMITMENT = (
    uid_of(keyword, SOP_CLASS)
    for keyword in (
        "Verification",
        "CTImageStorage",
        "StudyRootQueryRetrieveInformationModelFind",
        "StudyRootQueryRetrieveInformationModelGet",
        "StorageCommitmentPushModel",
    )
)
PRIVATE = "1.3.12.2.1107.5.9.1"
IMPLICIT, EXPLICIT, JPEG = (
    uid_of(keyword, TRANSFER_SYNTAX)
    for keyword in ("ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "JPEGLosslessSV1")
)
PROPOSED = (ECHO, CT, FIND, PRIVATE, GET, COMMITMENT)
REJECTED_NO_REASON = bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 1))


def associate(
    site: Site, config: dict[str, Any], calling: str, proposed: tuple[str, ...] = PROPOSED, **more: Any
) -> bytes:
    """The answer to a request for these abstract syntaxes, contexts 1, 3, 5...; what was accepted is released."""
    syntaxes = more.pop("transfer_syntaxes", (IMPLICIT, EXPLICIT, JPEG))
    contexts = [(2 * index + 1, uid, syntaxes) for index, uid in enumerate(proposed)]
    with connect(port_of(config), client_context(site.path("ca.pem"))) as wire:
        wire.send(encode_associate_rq("MAINPACS", calling, contexts, **more))
        answer = wire.receive_pdu()
        if answer[:1] == b"\2":
            release(wire)
    return answer


def proposed_to(pacs: Pacs, number: int = 0) -> AAssociateRQ:
    return parse_associate_rq(pacs.ended(number).request)


def results(answer: AAssociateAC) -> list[tuple[int, int]]:
    return [(context.context_id, context.result) for context in answer.presentation_contexts]


def test_contexts_roles_and_transfer_syntaxes_are_cut_and_refused(
    site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    peers = [
        {"aet": "MOD", "allow": ["modality"], "transfer_syntaxes": ["ImplicitVRLittleEndian", JPEG]},
        {"aet": "WS", "allow": ["viewer"]},
        {"aet": "LISTED", "allow": ["all"], "sop_classes": ["CTImageStorage", PRIVATE]},
        {"aet": "ECHO", "allow": ["echo"]},
    ]
    roles = [(CT, True, True), (COMMITMENT, True, True), (FIND, True, False)]
    with Pacs(sink) as pacs:
        config = site.one_tenant(pacs.port, peers=peers)
        gateway = start_gateway(config)

        answer = parse_associate_ac(associate(site, config, "MOD", roles=roles))
        assert results(answer) == [(1, 0), (3, 0), (5, 1), (7, 0), (9, 1), (11, 0)]
        request = proposed_to(pacs)
        assert [(c.abstract_syntax, c.transfer_syntaxes) for c in request.presentation_contexts] == [
            (uid, (IMPLICIT, JPEG)) for uid in (ECHO, CT, PRIVATE, COMMITMENT)
        ]
        offered = [(r.sop_class_uid, r.scu_role, r.scp_role) for r in request.user_information.role_selections]
        assert offered == [(CT, True, False), (COMMITMENT, True, True)]
        record = gateway.wait_for_record()
        assert (record["contexts"]["proposed"], record["contexts"]["kept"]) == (6, 4)
        refused = [(item["abstract_syntax"], item["by"]) for item in record["contexts"]["refused"]]
        assert refused == [(FIND, "gateway"), (GET, "gateway")]

        answer = parse_associate_ac(associate(site, config, "WS", roles=roles))
        assert results(answer) == [(1, 0), (3, 0), (5, 0), (7, 1), (9, 0), (11, 1)]
        assert [r.sop_class_uid for r in proposed_to(pacs, 1).user_information.role_selections] == [CT, FIND]

        answer = parse_associate_ac(associate(site, config, "LISTED"))
        assert results(answer) == [(1, 1), (3, 0), (5, 1), (7, 0), (9, 1), (11, 1)]

        assert associate(site, config, "ECHO", (CT, FIND)) == REJECTED_NO_REASON
        record = gateway.wait_for_record(lambda record: record["peer"] == "ECHO")
        assert (record["decision"], record["reason"]) == ("refused", "no_permitted_context")
        assert pacs.dials == 3
    gateway.check_healthy()


def test_one_hundred_and_twenty_seven_of_128_are_refused_in_order(
    site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    proposed = (FIND,) * 77 + (ECHO,) + (CT,) * 50
    with Pacs(sink) as pacs:
        config = site.one_tenant(pacs.port, peers=[{"aet": "*", "allow": ["echo"]}])
        start_gateway(config)
        answer = parse_associate_ac(associate(site, config, "CT1", proposed))
        assert results(answer) == [(2 * index + 1, int(uid != ECHO)) for index, uid in enumerate(proposed)]
        assert [context.context_id for context in proposed_to(pacs).presentation_contexts] == [155]


def test_the_upstream_sees_the_titles_that_are_written_for_it(
    site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(sink) as pacs:
        config = site.one_tenant(
            pacs.port, peers=[{"aet": "CT1", "allow": ["all"], "rewrite": {"calling_aet": "A_CT1"}}]
        )
        config["tenants"]["hospital"]["rewrite"] = {"called_aet": "ORTHANC"}
        gateway = start_gateway(config)
        answer = associate(site, config, "CT1")
        request = proposed_to(pacs)
        assert (request.called.title, request.calling.title) == ("ORTHANC", "A_CT1")
        assert answer[10:42] == b"MAINPACS        CT1             "
        record = gateway.wait_for_record()
    assert (record["called_aet"], record["calling_aet"]) == ("MAINPACS", "CT1")
    assert record["forwarded"] == {"called_aet": "ORTHANC", "calling_aet": "A_CT1"}


def test_observe_mode_cuts_nothing_and_says_what_would_be_refused(
    site: Site, start_gateway: Callable[..., Gateway]
) -> None:
    with Pacs(sink) as pacs:
        config = site.one_tenant(pacs.port, peers=[{"aet": "*", "allow": ["echo"], "transfer_syntaxes": [IMPLICIT]}])
        config["tenants"]["hospital"]["observe_until"] = "2100-01-01"
        gateway = start_gateway(config)
        answer = parse_associate_ac(associate(site, config, "CT1", (CT, FIND), roles=[(CT, True, True)]))
        assert results(answer) == [(1, 0), (3, 0)]
        request = proposed_to(pacs)
        assert request.presentation_contexts[0].transfer_syntaxes == (IMPLICIT, EXPLICIT, JPEG)
        assert request.user_information.role_selections[0].scp_role
        record = gateway.wait_for_record()
    assert (record["decision"], record["would_refuse"]) == ("accepted", ["no_permitted_context"])
    assert record["contexts"]["kept"] == 2
