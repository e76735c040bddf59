import pytest

from proxy.pdu import AeTitle, RequestAmbiguous, check_ae_title, read_ae_title
from proxy.pdu.encode import encode_ae_title


def field(text: bytes) -> bytes:
    return text.ljust(16)


@pytest.mark.parametrize(
    ("raw", "title", "nul_padded", "leading_spaces"),
    [
        (field(b"CT1"), "CT1", False, False),
        (field(b"A B"), "A B", False, False),
        (b"SIXTEEN_LETTERS_", "SIXTEEN_LETTERS_", False, False),
        (field(b"  CT1"), "CT1", False, True),
        (b"CT1".ljust(16, b"\0"), "CT1", True, False),
        (b"CT1 ".ljust(16, b"\0"), "CT1", True, False),
        (b"CT1\0".ljust(16), "CT1", True, False),
        (b" CT1\0".ljust(16), "CT1", True, True),
        (b"FIFTEEN_LETTERS\0", "FIFTEEN_LETTERS", True, False),
        (bytes(16), "", True, False),
        (b" " * 16, "", False, False),
        (b" \0".ljust(16), "", True, False),
        (field(b"*"), "*", False, False),
        (field(b"../$(x)%n%s{0}"), "../$(x)%n%s{0}", False, False),
    ],
)
def test_read_ae_title(raw: bytes, title: str, nul_padded: bool, leading_spaces: bool) -> None:
    assert len(raw) == 16
    assert read_ae_title(raw) == AeTitle(title, raw, nul_padded, leading_spaces)


@pytest.mark.parametrize(
    "text",
    [
        b"ALLOWED\0EVIL",
        b"\0EVIL",
        b"CT1\0\n",
        b"CT1\tX",
        b"CT1\n",
        b"\x1b[2J",
        b"CT1\x7f",
        b"CT\x80",
        "CÄ1".encode(),
        b"CT\\1",
    ],
)
def test_what_parsers_read_differently_or_the_standard_forbids(text: bytes) -> None:
    with pytest.raises(RequestAmbiguous) as caught:
        read_ae_title(field(text))
    assert str(caught.value).isascii() and str(caught.value).isprintable()


def test_canonical_form_is_padded_with_spaces() -> None:
    assert encode_ae_title(read_ae_title(b" CT1".ljust(16, b"\0")).title) == field(b"CT1")


@pytest.mark.parametrize("title", ["A", "A" * 16, "MAIN PACS", " CT1 ", "CT*", "~!#"])
def test_what_may_be_an_ae_title(title: str) -> None:
    assert check_ae_title(title) is None


@pytest.mark.parametrize(
    ("title", "problem"),
    [
        ("A" * 17, "longer than 16 characters"),
        ("", "only spaces, which is no AE title"),
        ("  ", "only spaces, which is no AE title"),
        ("CT\\1", "'\\\\' is not allowed in an AE title"),
        ("CT1\0", "'\\x00' is not allowed in an AE title"),
        ("CÄ1", "'\\xc4' is not allowed in an AE title"),
    ],
)
def test_what_is_no_ae_title(title: str, problem: str) -> None:
    assert check_ae_title(title) == problem
