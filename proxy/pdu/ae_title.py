"""AE titles (PS3.5 Table 6.2-1, value representation AE): their form, and the reading of a title field."""

from functools import lru_cache

from proxy.pdu.errors import RequestAmbiguous
from proxy.pdu.model import AeTitle

AE_TITLE_LENGTH = 16  # of a field, and of the longest title (PS3.8 Table 9-11)
_ALLOWED = bytes(range(0x20, 0x7F)).replace(b"\\", b"")


def check_ae_title(title: str) -> str | None:
    """Return in words why `title` is no AE title, None if it is one. Spaces at its ends are padding."""
    if len(title) > AE_TITLE_LENGTH:
        return f"longer than {AE_TITLE_LENGTH} characters"
    if not title.strip(" "):
        return "only spaces, which is no AE title"
    for character in title:
        if not character.isascii() or ord(character) not in _ALLOWED:
            return f"{character!a} is not allowed in an AE title"
    return None


# A sender that makes up titles can only drive others out of the cache: these are then read again.
@lru_cache(maxsize=1024)
def read_ae_title(raw: bytes) -> AeTitle:
    """Read one 16-byte AE title field (PS3.8 Table 9-11). A blank title is "".

    Raises RequestAmbiguous for a title that implementations read differently, or that the Standard forbids.
    """
    head, nul, tail = raw.partition(b"\0")
    if tail.strip(b"\0 "):
        raise RequestAmbiguous(f"AE title with a NUL inside: {raw!r}")
    if head.translate(None, _ALLOWED):
        raise RequestAmbiguous(f"AE title with characters that are not allowed: {raw!r}")
    title = head.strip(b" ")
    return AeTitle(
        title=title.decode("ascii"),
        raw=raw,
        nul_padded=bool(nul),
        leading_spaces=bool(title) and head.startswith(b" "),
    )
