"""Standard output and error of a command: no terminal or pipe makes the work behind it fail."""

import io
import os
import sys


def make_output_tolerant():
    r"""Let sys.stdout and sys.stderr take any text, and outlive the program that reads them.

    What the encoding of a terminal lacks is written as its escape: `\u732b`. Once the reader of a
    pipe has left, as `head -1` does after a line, the descriptor leads to os.devnull: a run goes
    on, and ends with its own exit code. For a process that is a command: streams that are no files
    of the operating system, as those of notebooks, stay as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)
        if isinstance(raw, io.FileIO):
            stream.reconfigure(errors="backslashreplace")
            raw.write = _tolerant(raw.write, raw.fileno())


def _tolerant(write, descriptor):
    def write_or_discard(data):
        try:
            return write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
            return len(data)

    return write_or_discard
