"""Certificates and CRLs that end: each step is logged once, over jumps of the clock and reloads."""

import dataclasses

import pytest

from proxy.config.values import ClientAuthSettings, Config, File, KeyPair, TlsSettings
from proxy.observe.certificates import read_ends
from proxy.observe.expiry import ExpiryWatch
from tests.support import certs

DAY = certs.DAY.total_seconds()
START = certs.now()


def with_certificate(config: Config, end: float, **auth: object) -> Config:
    """One listener with a certificate that ends `end` days from now."""
    issued = certs.leaf("gate", certs.ca("root"), valid=(START - certs.DAY, START + end * certs.DAY))
    pair = KeyPair(File("gate.pem", issued.pem), File("gate.key", b""))
    tls = TlsSettings("bcp195-rfc8996", (pair,), ClientAuthSettings(**auth))  # type: ignore[arg-type]
    return dataclasses.replace(config, listeners=(dataclasses.replace(config.listeners[0], tls=tls),))


def logged(watch: ExpiryWatch, days: float) -> list[tuple[str, str, object]]:
    return [(one.level, one.event, one.fields.get("days_left")) for one in watch.due(START.timestamp() + days * DAY)]


def test_each_step_is_logged_once(config: Config) -> None:
    watch = ExpiryWatch()
    watch.configure(read_ends(with_certificate(config, 60)))
    by_day = {day / 4: lines for day in range(300) if (lines := logged(watch, day / 4))}
    assert by_day == {
        30: [("warning", "certificate_expires", 30.0)],
        53: [("warning", "certificate_expires", 7.0)],
        59: [("warning", "certificate_expires", 1.0)],
        60: [("error", "certificate_expired", None)],
    }


@pytest.mark.parametrize(("days", "left"), [(12, 12.0), (3, 3.0), (0.5, 0.5)])
def test_a_start_logs_only_the_last_step(config: Config, days: float, left: float) -> None:
    watch = ExpiryWatch()
    watch.configure(read_ends(with_certificate(config, days)))
    assert logged(watch, 0) == [("warning", "certificate_expires", left)]
    assert logged(watch, 0) == []


def test_a_clock_that_jumps_back_logs_nothing_twice(config: Config) -> None:
    watch = ExpiryWatch()
    watch.configure(read_ends(with_certificate(config, 20)))
    assert len(logged(watch, 0)) == 1
    assert logged(watch, -10_000) == logged(watch, 1) == []
    assert logged(watch, 19.5) == [("warning", "certificate_expires", 0.5)]


def test_a_reload_logs_only_new_certificates(config: Config) -> None:
    watch = ExpiryWatch()
    first = with_certificate(config, 20)
    watch.configure(read_ends(first))
    assert len(logged(watch, 0)) == 1
    watch.configure(read_ends(first))
    assert logged(watch, 0) == []
    watch.configure(read_ends(with_certificate(config, 15)))  # another certificate
    assert len(logged(watch, 0)) == 1


@pytest.mark.parametrize(
    ("policy", "level", "then"), [("refuse", "error", "are refused"), ("accept", "warning", "still used")]
)
def test_a_list_that_ends(config: Config, policy: str, level: str, then: str) -> None:
    """It is logged at its end and not before. A new list in the same file counts as another list."""
    root = certs.ca("root", valid=(START, START + 999 * certs.DAY))

    def until(days: float) -> Config:
        crl = File("root.crl", certs.crl(root, next_update=START + days * certs.DAY))
        return with_certificate(
            config, 999, ca={"hospital": File("root.pem", root.pem)}, crl=(crl,), crl_expired=policy
        )

    watch = ExpiryWatch()
    watch.configure(read_ends(until(2)))
    assert logged(watch, 1.9) == []
    (ending,) = list(watch.due(START.timestamp() + 2.1 * DAY))
    assert (ending.level, ending.event, ending.fields["issuer"]) == (level, "crl_expired", "hospital")
    assert then in str(ending.fields["message"])
    watch.configure(read_ends(until(4)))
    assert logged(watch, 2.2) == []
    assert logged(watch, 4.1) == [(level, "crl_expired", None)]
