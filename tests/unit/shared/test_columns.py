"""Rows of values that processes share."""

import mmap

import pytest

from proxy.shared.columns import KEY, Columns

ROWS = 3
ONE, TWO = b"1" * KEY, b"2" * KEY


class Shared:
    """Two processes with the same rows, which begin at offset 64 of a shared memory."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.memory[:] = b"\xff" * 64 + bytes(mmap.PAGESIZE - 64)
        self.here, self.there = (Columns(self.memory, 64, ROWS) for _ in range(2))
        self.times, self.numbers, self.marks = self.here.doubles(), self.here.counts(), self.here.flags()
        self.their_times, self.their_numbers, self.their_marks = (
            self.there.doubles(),
            self.there.counts(),
            self.there.flags(),
        )


@pytest.fixture
def shared() -> Shared:
    return Shared()


def test_a_row_is_found_once_it_is_published_and_no_longer_when_it_is_erased(shared: Shared) -> None:
    row = shared.here.claim()
    assert row is not None
    shared.times[row], shared.numbers[row], shared.marks[row] = 1.5, 1 << 31, 255
    assert shared.there.find(ONE) is None
    shared.here.publish(row, ONE)
    assert shared.there.find(ONE) == row
    assert (shared.their_times[row], shared.their_numbers[row], shared.their_marks[row]) == (1.5, 1 << 31, 255)
    assert shared.there.used() == [(row, ONE)]
    shared.there.erase(row)
    assert shared.here.find(ONE) is None and shared.here.used() == []


def test_a_claimed_row_is_empty_whatever_a_killed_process_left_in_it(shared: Shared) -> None:
    row = shared.here.claim()
    assert row is not None
    shared.times[row], shared.numbers[row], shared.marks[row] = 1.5, 7, 1
    assert shared.there.claim() == row
    assert (shared.their_times[row], shared.their_numbers[row], shared.their_marks[row]) == (0.0, 0, 0)


def test_there_are_exactly_the_requested_rows_and_no_other_byte_is_touched(shared: Shared) -> None:
    for number in range(ROWS):
        row = shared.here.claim()
        assert row is not None
        shared.times[row], shared.numbers[row], shared.marks[row] = -1.0, 2**32 - 1, 255
        shared.here.publish(row, bytes([number + 1]) * KEY)
    assert shared.here.claim() is None
    assert shared.memory[:64] == b"\xff" * 64
    assert shared.here.end == 64 + ROWS * (KEY + 8 + 4 + 1)
    assert not any(shared.memory[shared.here.end :])


def test_the_end_of_one_key_and_the_beginning_of_the_next_are_no_key(shared: Shared) -> None:
    shared.here.publish(0, ONE)
    shared.here.publish(1, TWO)
    assert shared.here.find(ONE[:8] + TWO[:8]) is None
    shared.here.publish(2, ONE[:8] + TWO[:8])
    assert shared.here.find(ONE[:8] + TWO[:8]) == 2
