"""What a server speaks that answers no PDU, in words for whoever has to mend it."""

_SHOWN_BYTES = 16


def describe_first_bytes(first: bytes) -> str:
    """By the first bytes of its answer, which are the peer's own: escaped, and no more than tell it."""
    if first[:2] == b"\x15\x03":
        return "the peer speaks TLS here"
    return f"it begins with {first[:_SHOWN_BYTES]!r}"
