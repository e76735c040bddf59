"""The peers made from DicomModalities decide as Orthanc does, and a comment names each difference."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.pdu import AAssociateRQ, PresentationContext, Span
from proxy.policy import Accept
from proxy.policy.decision import decide
from tests.support.orthanc_import import Values, as_built, load_imported, peers, text_of, values
from tests.support.requests import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION, associate_rq, facts

SEED = values(
    ("peer", "PEER", "127.0.0.1"),
    ("peer2", "BAD_IP", "1.1.1.1"),
    DicomCheckCalledAet=True,
    DicomAlwaysAllowStore=False,
    DicomAlwaysAllowEcho=False,
    DicomCheckModalityHost=True,
)
EVERYTHING = ("echo", "store_standard", "find", "worklist", "get", "move", "storage_commitment")
NOBODY = {"DicomAlwaysAllowEcho": False, "DicomAlwaysAllowStore": False}


def modality(aet: str = "CT1", host: str = "10.0.0.5", **more: Any) -> Values:
    return {"AET": aet, "Host": host, "Port": 104, **more}


def allowed(settings_: Values) -> dict[str, tuple[str, ...]]:
    """Return the operations of each peer by name; none for a peer that is refused."""
    return {entry.name: () if entry.refuse else entry.allow for entry in peers(settings_) if entry.aet}


def comments(settings_: Values, **more: Any) -> str:
    return " ".join(" ".join(entry.comments) for entry in peers(settings_, **more))


# --- the configuration of Orthanc's issue 52 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calling", "called", "source", "reason"),
    [
        ("PEER", "ORTHANC", "127.0.0.1", None),
        ("peer", "orthanc", "127.0.0.1", None),
        ("PEER", "WRONG", "127.0.0.1", "called_aet_unknown"),
        ("BAD_AET", "ORTHANC", "127.0.0.1", "calling_aet_unknown"),
        ("BAD_IP", "ORTHANC", "127.0.0.1", "source_not_allowed"),
        ("PEER", "ORTHANC", "127.0.0.2", "source_not_allowed"),
        ("BAD_IP", "ORTHANC", "1.1.1.1", None),
    ],
)
def test_the_configuration_of_orthanc_issue_52(
    calling: str, called: str, source: str, reason: str | None, tmp_path: Path
) -> None:
    loaded = load_imported(tmp_path, SEED)
    assert loaded.findings == []
    assert loaded.config is not None
    decision = decide(facts(source=source, called=called, calling=calling), loaded.config.tenants["orthanc"])
    assert getattr(decision, "reason", None) == reason


def test_strict_comparison_minds_the_case(tmp_path: Path) -> None:
    config = load_imported(tmp_path, {**SEED, "StrictAetComparison": True}).config
    assert config is not None
    tenant = config.tenants["orthanc"]
    assert isinstance(decide(facts(source="127.0.0.1", called="ORTHANC", calling="PEER"), tenant), Accept)
    for called, calling in (("ORTHANC", "peer"), ("orthanc", "PEER")):
        assert not isinstance(decide(facts(source="127.0.0.1", called=called, calling=calling), tenant), Accept)


# --- against the rule of Orthanc ------------------------------------------------------------------------------------

FLAGS = ("Echo", "Store", "Find", "FindWorklist", "Get", "Move")
WORDS = dict(zip(FLAGS, EVERYTHING, strict=False))
TITLES, HOSTS = ("A", "a", "B", "C"), ("10.0.0.1", "10.0.0.2")

flags = st.dictionaries(st.sampled_from([f"Allow{flag}" for flag in FLAGS]), st.booleans(), max_size=6)
modalities = st.builds(
    lambda aet, host, allow, commitment: modality(aet, host, AllowStorageCommitment=commitment, **allow),
    st.sampled_from(TITLES),
    st.sampled_from(HOSTS),
    flags,
    st.booleans(),
)
configurations = st.builds(
    lambda entries, always, options: {"DicomModalities": entries, **always, **options},
    st.dictionaries(st.sampled_from(["m1", "m2", "m3"]), modalities),
    st.dictionaries(st.sampled_from([f"DicomAlwaysAllow{flag}" for flag in FLAGS]), st.booleans(), max_size=6),
    st.dictionaries(st.sampled_from(["DicomCheckModalityHost", "StrictAetComparison"]), st.booleans()),
)


def orthanc_allows(config: Values, aet: str, source: str) -> set[str]:
    """Return the operations that Orthanc allows a sender. None: Orthanc refuses the association or every operation."""
    always = {WORDS[f] for f in FLAGS if config.get(f"DicomAlwaysAllow{f}", f in ("Echo", "Store"))}
    strict, check = config.get("StrictAetComparison", False), config.get("DicomCheckModalityHost", False)
    known = [
        entry
        for _, entry in sorted(config["DicomModalities"].items())
        if entry["AET"] == aet or (not strict and entry["AET"].lower() == aet.lower())
    ]

    def may(entry: Values) -> set[str]:
        found = {WORDS[f] for f in FLAGS if entry.get(f"Allow{f}", True)}
        return found | ({"storage_commitment"} if entry["AllowStorageCommitment"] else set())

    if not known or (not always and check and known[0]["Host"] != source):
        return always
    if len(known) == 1:
        return always | (may(known[0]) if not check or known[0]["Host"] == source else set())
    there = [may(entry) for entry in known if check and entry["Host"] == source]
    return always.union(*there, set.intersection(*map(may, known)))


def is_listed_twice(config: Values) -> bool:
    titles = [entry["AET"].lower() for entry in config["DicomModalities"].values()]
    return len(set(titles)) < len(titles)


SENDERS = [(aet, source) for aet in (*TITLES, "X") for source in (*HOSTS, "10.0.0.9")]
Answers = dict[tuple[str, str], set[str]]
#: One SOP class for each operation.
CLASSES = {
    "echo": VERIFICATION,
    "store_standard": "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
    "find": "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root
    "worklist": "1.2.840.10008.5.1.4.31",
    "get": "1.2.840.10008.5.1.4.1.2.2.3",
    "move": "1.2.840.10008.5.1.4.1.2.2.2",
    "storage_commitment": "1.2.840.10008.1.20.1",
}


def asks_for_all(aet: str) -> AAssociateRQ:
    """Return a request with a presentation context for each operation."""
    contexts = (
        PresentationContext(2 * index + 1, uid, (IMPLICIT_VR_LITTLE_ENDIAN,), Span(0, 0))
        for index, uid in enumerate(CLASSES.values())
    )
    return dataclasses.replace(associate_rq(calling=aet), presentation_contexts=tuple(contexts))


def gateway_allows(folder: Path, config: Values) -> Answers:
    loaded = load_imported(folder, config)
    assert loaded.config is not None, [str(finding) for finding in loaded.findings]
    assert {finding.code for finding in loaded.findings} <= {"W203"}
    answers: Answers = {}
    for aet, source in SENDERS:
        decision = decide(facts(source=source, request=asks_for_all(aet)), loaded.config.tenants["orthanc"])
        kept = decision.contexts if isinstance(decision, Accept) else {}
        answers[aet, source] = {word for index, word in enumerate(CLASSES) if 2 * index + 1 in kept}
    return answers


def by_example(count: int) -> Any:
    return settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=count)


@by_example(40)
@given(configurations)
def test_it_decides_as_orthanc(tmp_path: Path, config: Values) -> None:
    assume(not (is_listed_twice(config) and config.get("DicomCheckModalityHost")))
    expected = {sender: orthanc_allows(config, *sender) for sender in SENDERS}
    assert gateway_allows(tmp_path, config) == expected


@by_example(20)
@given(configurations)
def test_a_title_that_is_there_twice_comes_from_its_own_hosts(tmp_path: Path, config: Values) -> None:
    config["DicomCheckModalityHost"] = True
    alone = [{**config, "DicomModalities": {name: entry}} for name, entry in config["DicomModalities"].items()]
    expected = {sender: set.union(*(orthanc_allows(one, *sender) for one in alone or [config])) for sender in SENDERS}
    assert gateway_allows(tmp_path, config) == expected


def test_the_difference_is_in_a_comment() -> None:
    twice = values(("a", "CT1", "10.0.0.1"), ("b", "ct1", "10.0.0.2"), DicomCheckModalityHost=True)
    assert "Orthanc allows what they all allow, from any address" in comments(twice)
    assert "several times" not in comments(SEED)
    assert "what all of these allow" in comments(values(("a", "CT1", "h"), ("b", "ct1", "i")))


# --- operations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, EVERYTHING),
        (
            {"AllowEcho": False, "AllowFindWorklist": False},
            ("store_standard", "find", "get", "move", "storage_commitment"),
        ),
        ({"AllowStorageCommitment": False}, EVERYTHING[:-1]),
        ({"AllowNAction": False, "AllowEventReport": False}, EVERYTHING[:-1]),
        ({"AllowNAction": False}, EVERYTHING[:-1]),
        ({"AllowEventReport": False}, EVERYTHING[:-1]),
        ({"AllowNAction": False, "AllowStorageCommitment": True}, EVERYTHING),
        ({f"Allow{flag}": False for flag in (*FLAGS, "StorageCommitment")}, ()),
    ],
)
def test_what_a_modality_may(changes: Values, expected: tuple[str, ...]) -> None:
    assert allowed({"DicomModalities": {"ct": modality(**changes)}, **NOBODY}) == {"ct": expected}


@pytest.mark.parametrize("flag", ["AllowNAction", "AllowEventReport"])
def test_half_of_storage_commitment_is_in_a_comment(flag: str) -> None:
    said = comments({"DicomModalities": {"ct": modality(**{flag: False})}})
    assert "AllowNAction and AllowEventReport differ" in said
    assert "unknown to Orthanc" not in said


def test_unknown_sop_classes_make_it_store() -> None:
    assert allowed({"DicomModalities": {}, "UnknownSopClassAccepted": True}) == {"anybody": ("echo", "store")}
    assert allowed({"DicomModalities": {}}) == {"anybody": ("echo", "store_standard")}


def test_no_sender_is_admitted_if_orthanc_admits_none(tmp_path: Path) -> None:
    config = load_imported(tmp_path, {"DicomModalities": {}, **NOBODY}).config
    assert config is not None
    assert not isinstance(decide(facts(called="ORTHANC"), config.tenants["orthanc"]), Accept)


def test_modalities_in_the_database_are_not_imported() -> None:
    settings_ = {**SEED, "DicomModalitiesInDatabase": True}
    assert allowed(settings_) == {"nobody": ()}
    assert "DicomModalitiesInDatabase is true" in text_of(settings_)


# --- titles, names, hosts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["A" * 17, "", "  ", "CT1 ", "A\\B", "CT\u00dc", "CT*", "C?", "A\nB"])
def test_an_illegal_title_is_left_out_with_a_comment(title: str, tmp_path: Path) -> None:
    config = {"DicomModalities": {"bad": modality(title), "good": modality("CT1")}, **NOBODY}
    assert list(allowed(config)) == ["good"]
    text = text_of(config)
    assert text.count("is left out") == 2  # at the top and in its place
    assert yaml.safe_load(text)["tenants"]["orthanc"]["peers"][0]["name"] == "good"
    assert load_imported(tmp_path, config).config is not None


@pytest.mark.parametrize("title", ["NULL", "0123", "ON", "A: b", 'A"#', "${X}", "- x", "WS 1", "@", "[a"])
def test_any_title_is_quoted_correctly(title: str, tmp_path: Path) -> None:
    config = load_imported(tmp_path, {"DicomModalities": {"x": modality(title)}, "StrictAetComparison": True}).config
    assert config is not None
    assert config.tenants["orthanc"].peers[0].aet == (title,)


@pytest.mark.parametrize("name", ["a b", "\u00fc", "x\n- name: evil", "#", "n" * 200, "", "\x85", "\udc80", "a: b"])
def test_any_name_of_a_modality_is_harmless(name: str, tmp_path: Path) -> None:
    loaded = load_imported(tmp_path, {"DicomModalities": {name: modality(), "_": modality("MR1")}})
    assert loaded.config is not None, [str(finding) for finding in loaded.findings]
    assert [peer.aet for peer in loaded.config.tenants["orthanc"].peers] == [("MR1",), ("CT1",), ("*",)] or name < "_"
    assert len(loaded.config.tenants["orthanc"].peers) == 3


def test_a_host_name_is_resolved_with_a_comment() -> None:
    config = values(("ct", "CT1", "ct.example.org"), DicomCheckModalityHost=True, **NOBODY)
    [entry] = peers(config, {"ct.example.org": ["10.0.0.7", "2001:db8::7"]})
    assert entry.source == ("10.0.0.7", "2001:db8::7")
    assert "'ct.example.org', resolved at the import" in " ".join(entry.comments)


def test_a_host_name_that_does_not_resolve_opens_nothing(tmp_path: Path) -> None:
    config = values(("ct", "CT1", "ct.example.org"), ("mr", "MR1", "10.0.0.8"), DicomCheckModalityHost=True)
    assert "did not resolve: left out" in comments(config)
    # It may do what every sender may do, as in Orthanc.
    assert allowed(config) == {
        "ct-elsewhere": ("echo", "store_standard"),
        "mr": EVERYTHING,
        "mr-elsewhere": ("echo", "store_standard"),
        "anybody": ("echo", "store_standard"),
    }
    assert list(allowed({**config, **NOBODY})) == ["mr"]


def test_without_the_check_hosts_do_not_matter() -> None:
    [entry, _] = peers(values(("ct", "CT1", "no such host")))
    assert entry.source is None
    assert "no such host" in entry.comments[0]


# --- other keys ---------------------------------------------------------------------------------------------------


def test_keys_without_counterpart_are_named_and_no_value_shown() -> None:
    text = text_of(
        {
            **SEED,
            "RegisteredUsers": {"alice": "secret"},
            "DicomAlwaysAllowEhco": False,
            "DicomModalities": {"ct": modality(LocalAet="HELLO", UseDicomTls=True, AllowFoo=False)},
        }
    )
    assert "stays with Orthanc: RegisteredUsers." in text
    assert "secret" not in text
    assert "DicomAlwaysAllowEhco: unknown to Orthanc, which ignores it; is DicomAlwaysAllowEcho meant?" in text
    assert "do not pass the gateway: LocalAet, UseDicomTls." in text
    assert "ct: unknown to Orthanc, without effect there and here: AllowFoo" in text


def test_no_text_escapes_from_its_comment() -> None:
    config = {**SEED, "evil\n- x: y": 1, "\u2028evil": 2, "DicomModalities": {"a": modality(host="h\n  evil: 1")}}
    text = text_of({**config, "DicomCheckModalityHost": False})
    assert set(yaml.safe_load(text)) == {"version", "listeners", "tenants", "upstreams"}
    assert text.isascii()
    assert as_built(text)
