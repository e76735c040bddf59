import pytest

from proxy.pdu import associate, encode_associate_rq, parse_associate_ac, parse_associate_rq
from proxy.pdu.errors import RequestAmbiguous
from proxy.pdu.memory import MAX_ITEMS, MAX_TOTAL, ItemMemory
from tests.support.pdus import encode_associate_ac

CONTEXTS = [(1, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
TICKET = b"a ticket that nobody else may see"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(associate, "_REQUESTS", ItemMemory())
    monkeypatch.setattr(associate, "_ACCEPTS", ItemMemory())


def test_the_same_items_under_other_titles_are_parsed_once() -> None:
    first = parse_associate_rq(encode_associate_rq("PACS", "CT1", CONTEXTS))
    second = parse_associate_rq(encode_associate_rq("OTHER", "CT2", CONTEXTS))
    assert (second.called.title, second.calling.title) == ("OTHER", "CT2")
    assert second.presentation_contexts is first.presentation_contexts
    assert second.user_information is first.user_information
    assert len(associate._REQUESTS) == 1


def test_a_title_is_judged_though_the_items_are_remembered() -> None:
    pdu = encode_associate_rq("PACS", "CT1", CONTEXTS)
    parse_associate_rq(pdu)
    with pytest.raises(RequestAmbiguous):
        parse_associate_rq(pdu[:10] + b"ALLOWED\0EVIL    " + pdu[26:])


def test_answers_are_remembered() -> None:
    pdu = encode_associate_ac("PACS", "CT1", [(1, 0, "1.2.840.10008.1.2")])
    assert parse_associate_ac(pdu).presentation_contexts is parse_associate_ac(pdu).presentation_contexts
    assert parse_associate_ac(pdu) == parse_associate_ac(pdu)


def test_secrets_are_not_remembered() -> None:
    parse_associate_rq(encode_associate_rq("PACS", "CT1", CONTEXTS, user_identity=(2, True, b"doe", b"secret")))
    parse_associate_ac(encode_associate_ac("PACS", "CT1", [], user_identity_response=TICKET))
    assert not len(associate._REQUESTS)
    assert not len(associate._ACCEPTS)


def test_what_is_refused_is_not_remembered() -> None:
    pdu = encode_associate_rq("PACS", "CT1", [*CONTEXTS, *CONTEXTS])
    for _ in range(2):
        with pytest.raises(RequestAmbiguous):
            parse_associate_rq(pdu)
    assert not len(associate._REQUESTS)


def test_the_oldest_make_room() -> None:
    memory: ItemMemory[int] = ItemMemory()
    size = 1024
    for number in range(10 * MAX_TOTAL // size):
        memory.remember(number.to_bytes(size, "big"), number)
        assert memory.recall(number.to_bytes(size, "big")) == number
    assert len(memory) == MAX_TOTAL // size
    assert memory.recall(bytes(size)) is None


def test_what_is_too_long_is_not_remembered() -> None:
    memory: ItemMemory[int] = ItemMemory()
    memory.remember(bytes(MAX_ITEMS), 1)
    memory.remember(bytes(MAX_ITEMS + 1), 2)
    assert len(memory) == 1


def test_remembering_twice_counts_once() -> None:
    memory: ItemMemory[int] = ItemMemory()
    for _ in range(2 * MAX_TOTAL // MAX_ITEMS):
        memory.remember(bytes(MAX_ITEMS), 1)
    memory.remember(b"another", 2)
    assert len(memory) == 2
