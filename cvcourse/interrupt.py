"""Ctrl-C and SIGTERM: who answers them, and for how long."""

import contextlib
import signal


@contextlib.contextmanager
def handling(handler, *signals):
    """Let `handler(number, frame)` answer these signals inside the block.

    Outside the main thread, where Python hands out no signals, it has no effect.
    """
    before = {}
    with contextlib.suppress(ValueError):  # "signal only works in main thread"
        before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def terminate(number, frame):
    """A handler that takes SIGTERM for Ctrl-C."""
    raise KeyboardInterrupt("terminated")
