from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.suppression import FORGOTTEN, PER_ADDRESS, PER_KEY, SUMMARY_S, Key, RefusalLimiter

KEY: Key = ("10.0.0.7", "CT1", "calling_aet_unknown")


def test_a_burst_then_one_each_interval() -> None:
    limiter = RefusalLimiter()
    assert [limiter.admit(KEY, 0.0) for _ in range(8)] == [True] * 5 + [False] * 3
    assert not limiter.admit(KEY, PER_KEY.interval - 0.1)
    assert limiter.admit(KEY, PER_KEY.interval)
    assert not limiter.admit(KEY, PER_KEY.interval)


def test_row_83_a_thousand_guesses_are_a_few_lines_and_one_summary() -> None:
    limiter = RefusalLimiter()
    admitted = sum(limiter.admit(("10.0.0.7", "CT1", "called_aet_unknown"), n * 0.01) for n in range(1000))
    assert admitted == 5
    assert limiter.expired(20.0) == [(("10.0.0.7", "CT1", "called_aet_unknown"), 995)]
    assert limiter.expired(20.0) == []


def test_invented_titles_are_suppressed_by_address() -> None:
    limiter = RefusalLimiter()
    admitted = sum(limiter.admit(("10.0.0.7", f"T{n}", "calling_aet_unknown"), 0.0) for n in range(1000))
    assert admitted == PER_ADDRESS.burst
    assert limiter.admit(("10.0.0.8", "T1", "calling_aet_unknown"), 0.0)
    assert limiter.expired(SUMMARY_S) == [(("10.0.0.7", None, None), 950)]


def test_row_141_a_flood_is_at_most_one_line_a_second_and_address() -> None:
    limiter = RefusalLimiter()
    admitted = sum(limiter.admit(("10.0.0.7", f"T{n}", "x"), n * 0.001) for n in range(100_000))
    assert admitted <= PER_ADDRESS.burst + 100


def test_a_summary_is_due_some_time_after_the_first_suppressed_event() -> None:
    limiter = RefusalLimiter()
    for _ in range(6):
        limiter.admit(KEY, 100.0)
    assert limiter.expired(100.0 + SUMMARY_S - 0.1) == []
    assert limiter.drain(100.0 + SUMMARY_S - 0.1) == [(KEY, 1)]
    assert limiter.drain(200.0) == []


def test_memory_is_bounded_and_dropped_buckets_are_summed_up() -> None:
    limiter = RefusalLimiter(max_keys=10)
    for n in range(100):
        for _ in range(6):
            limiter.admit((f"10.0.0.{n}", "CT1", "x"), 0.0)
    due = dict(limiter.expired(SUMMARY_S))
    assert due.pop(FORGOTTEN) == 90
    assert sum(due.values()) == 10


def test_full_buckets_are_dropped() -> None:
    limiter = RefusalLimiter()
    limiter.admit(KEY, 0.0)
    limiter.expired(1000.0)
    assert not limiter._keys
    assert not limiter._addresses


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    limiter = RefusalLimiter()
    for _ in range(5):
        limiter.admit(KEY, 100.0)
    assert not limiter.admit(KEY, 0.0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.floats(0, 30)), max_size=300))
def test_every_refusal_is_logged_or_summed_up_exactly_once(refusals: list[tuple[str, str, float]]) -> None:
    limiter, now, reported = RefusalLimiter(max_keys=3), 0.0, 0
    for address, title, passed in refusals:
        now += passed
        reported += limiter.admit((address, title, "reason"), now)
        reported += sum(count for _, count in limiter.expired(now))
    reported += sum(count for _, count in limiter.drain(now))
    assert reported == len(refusals)
