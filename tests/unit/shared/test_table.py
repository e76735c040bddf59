"""Counts that processes share: exact, and without the counts of a process that has ended."""

import itertools
import os
import signal

import pytest

from proxy.shared.table import SharedTable, TableFull, key_of


@pytest.fixture
def table() -> SharedTable:
    return SharedTable.create(slots=4, keys=64)


def test_counts_add_up_over_slots(table: SharedTable) -> None:
    key = key_of("tenant", "hospital")
    with table.lock:
        table.add(0, key, 2)
        table.add(3, key, 1)
        assert table.total(key) == 3
        assert (table.count_of(0, key), table.count_of(1, key), table.count_of(3, key)) == (2, 0, 1)
        table.add(0, key, -2)
        assert table.total(key) == 1


def test_keys_depend_on_where_words_end() -> None:
    assert key_of("a", "bc") != key_of("ab", "c")


def test_a_row_is_free_again_when_it_is_zero(table: SharedTable) -> None:
    for number in range(10_000):
        key = key_of("address", number.to_bytes(4, "big"))
        with table.lock:
            table.add(1, key, 1)
            assert table.total(key) == 1
            table.add(1, key, -1)
            assert table.total(key) == 0


def test_a_full_table_raises(table: SharedTable) -> None:
    def fill() -> None:
        with table.lock:
            for number in range(10_000):
                table.add(1, key_of("address", number.to_bytes(4, "big")), 1)

    with pytest.raises(TableFull):
        fill()


def test_a_stranger_cannot_choose_the_rows_of_its_keys(table: SharedTable) -> None:
    """Without the secret, keys with the same first byte would share a window, and 40 of them would fill it."""
    tenant = key_of("tenant", "hospital")
    addresses = (key_of("address", number.to_bytes(4, "big")) for number in itertools.count())
    alike = (key for key in addresses if key[0] == tenant[0])
    with table.lock:
        for key in itertools.islice(alike, 40):
            table.add(1, key, 1)
        table.add(2, tenant, 1)
        assert table.total(tenant) == 1


def test_forget_subtracts_the_counts_of_a_process(table: SharedTable) -> None:
    keys = [key_of("address", bytes([number])) for number in range(50)]
    with table.lock:
        for key in keys:
            table.add(1, key, 1)
            table.add(2, key, 5)
    table.forget(2)
    with table.lock:
        assert [table.total(key) for key in keys] == [1] * 50
        assert [table.count_of(2, key) for key in keys] == [0] * 50


def test_a_process_that_is_killed_while_it_holds_the_lock_frees_it(table: SharedTable) -> None:
    key = key_of("connections")
    ready, locked = os.pipe()
    child = os.fork()
    if child == 0:
        with table.lock:
            table.add(2, key, 7)
            # As after a kill between the two writes of `add`: the total is not changed yet.
            table._counts[2 * table._padded + table._find(key)] = 9
            os.write(locked, b"x")
            signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with table.lock:
        assert table.total(key) == 7
    table.forget(2)
    with table.lock:
        assert table.total(key) == 0
    os.close(ready)
    os.close(locked)


def test_two_views_of_one_table_agree(table: SharedTable) -> None:
    other = SharedTable(os.dup(table.descriptor), table.slots, table.rows)
    with table.lock:
        table.add(0, key_of("x"), 3)
    with other.lock:
        assert other.total(key_of("x")) == 3
    other.close()
