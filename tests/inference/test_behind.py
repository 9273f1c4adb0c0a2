"""Work beside the network: in order, when it is told to, and done at the end in any case."""

import threading

import pytest

from medbench.inference.behind import Behind


def test_work_waits_until_it_is_told_to_begin_and_keeps_its_order():
    done, threads = [], set()

    def note(number):
        done.append(number)
        threads.add(threading.get_ident())

    with Behind() as behind:
        for number in range(40):
            behind.add(note, number)
        assert done == []
        behind.begin()
        behind.add(note, 40)
        assert 40 not in done
    assert done == list(range(41))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_work_is_done_also_after_an_exception():
    done = []

    def interrupted():
        with Behind() as behind:
            behind.add(done.append, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]


def test_an_exception_of_the_work_reaches_the_caller():
    with pytest.raises(OSError, match="full"), Behind() as behind:
        behind.add(fail)
    begun = []

    def go_on():
        with Behind() as behind:
            behind.add(fail)
            for number in range(40):
                behind.begin()
                behind.add(int)
                begun.append(number)

    with pytest.raises(OSError, match="full"):
        go_on()
    assert len(begun) < 40


def test_what_follows_a_failure_is_left_undone():
    done = []

    def go_on():
        with Behind() as behind:
            for work, *arguments in ((done.append, 1), (fail,), (done.append, 2)):
                behind.add(work, *arguments)

    with pytest.raises(OSError, match="full"):
        go_on()
    assert done == [1]


def test_a_failure_is_told_soon_and_hides_no_interruption():
    told = []

    def go_on():
        with Behind() as behind:
            behind.add(fail)
            try:
                while True:
                    behind.begin()
            except OSError as error:
                told.append(str(error))
            behind.add(fail)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on()
    assert told == ["full"]


def fail():
    raise OSError("full")
