import pytest

from proxy.observe.times import rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.0009, "1970-01-01T00:00:01.000Z"),
        (-1.0, "1969-12-31T23:59:59.000Z"),
        (-1e-20, "1969-12-31T23:59:59.999Z"),
        (253402300800.0, "9999-12-31T23:59:59.999Z"),
        (1e300, "9999-12-31T23:59:59.999Z"),
        (float("inf"), "9999-12-31T23:59:59.999Z"),
        (-1e300, "0001-01-01T00:00:00.000Z"),
        (float("nan"), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text
