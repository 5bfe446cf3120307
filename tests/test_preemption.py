"""A run that is asked to leave: by Ctrl-C, by a queue, by a terminal that closes."""

import signal

import pytest

from sora_jax import cli
from sora_jax.training import preemption


@pytest.fixture
def signals():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_ctrl_c_is_heard_and_once_more_stops_at_once():
    with pytest.raises(KeyboardInterrupt), preemption.listening() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with preemption.listening() as asked:
        assert not asked()


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_that_came_too_late_for_a_step_still_ends_the_series(number):
    with pytest.raises(KeyboardInterrupt), preemption.listening() as asked:
        for _ in range(2):  # a queue that repeats itself does not stop a save
            signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL
    assert asked()


@pytest.mark.usefixtures("signals")
def test_what_others_hear_is_left_to_them():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with preemption.listening() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert not asked()


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_asked_to_stop_says_so(number):
    with pytest.raises(SystemExit, match="stopped; nothing was written"):
        with cli.exit_with_message("stopped; nothing was written"):
            signal.raise_signal(number)
