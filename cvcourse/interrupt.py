"""Handlers for Ctrl-C and SIGTERM."""

import contextlib
import signal


@contextlib.contextmanager
def handling(handler, *signals):
    """Context manager: set a handler for signals inside the block.

    It has no effect outside the main thread, where Python delivers no signals.

    Args:
        handler: Function (number, frame).
        signals: Members of `signal.Signals`.
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
    """Signal handler: raise KeyboardInterrupt, as Ctrl-C does."""
    raise KeyboardInterrupt("terminated")
