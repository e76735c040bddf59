"""The items that may occur in each part of an A-ASSOCIATE-RQ or -AC, and how often (PS3.8 9.3.2, 9.3.3, PS3.7 D.3.3).

Parsers disagree on an item that occurs twice (some take the first, some the last), and on a known item out of place:
DCMTK reads a context item of an A-ASSOCIATE-AC as a proposal when it comes in a request. The PACS must read what policy
decided on, so a request with either is refused. The answer of our own PACS is read more leniently.
"""

from collections.abc import Iterator

from proxy.pdu.errors import InvalidPduParameter, RequestAmbiguous, UnexpectedParameter
from proxy.pdu.model import ItemType
from proxy.pdu.reader import ByteReader

_KNOWN = frozenset(ItemType)
_SINGLETONS = frozenset(
    {
        ItemType.APPLICATION_CONTEXT,
        ItemType.USER_INFORMATION,
        ItemType.MAXIMUM_LENGTH,
        ItemType.IMPLEMENTATION_CLASS_UID,
        ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW,
        ItemType.IMPLEMENTATION_VERSION_NAME,
        ItemType.USER_IDENTITY_RQ,
        ItemType.USER_IDENTITY_AC,
    }
)


def request_items(parent: ByteReader, allowed: frozenset[ItemType]) -> Iterator[tuple[int, ByteReader]]:
    """Yield the allowed items of a part of an A-ASSOCIATE-RQ; unknown types are skipped (PS3.8 section 9.3.1).

    Raises UnexpectedParameter for a known item out of place, RequestAmbiguous for a repeated singleton.
    """
    seen: set[int] = set()
    for item_type, item in parent.items():
        if item_type not in allowed:
            if item_type in _KNOWN:
                raise UnexpectedParameter(f"{_name(item_type)} at byte {item.span.start} does not belong there")
            continue
        if item_type in _SINGLETONS:
            if item_type in seen:
                raise RequestAmbiguous(f"second {_name(item_type)} at byte {item.span.start}")
            seen.add(item_type)
        yield item_type, item


def accept_items(parent: ByteReader, allowed: frozenset[ItemType]) -> Iterator[tuple[int, ByteReader]]:
    """Yield the allowed items of a part of an A-ASSOCIATE-AC; all others are skipped.

    Raises InvalidPduParameter for a repeated singleton.
    """
    seen: set[int] = set()
    for item_type, item in parent.items():
        if item_type not in allowed:
            continue
        if item_type in _SINGLETONS:
            if item_type in seen:
                raise InvalidPduParameter(f"second {_name(item_type)} at byte {item.span.start}")
            seen.add(item_type)
        yield item_type, item


def _name(item_type: int) -> str:
    return f"item {item_type:02X}H ({ItemType(item_type).name.lower().replace('_', ' ')})"
