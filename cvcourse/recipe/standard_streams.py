"""Standard output and error of a command, made tolerant of terminals and closed pipes."""

import io
import os
import sys


def make_output_tolerant():
    r"""Make sys.stdout and sys.stderr accept any text and survive a closed pipe.

    Characters that the encoding lacks are written as escapes: `\u732b`. After the reader of a pipe
    has closed it, as `head -1` does after a line, output goes to os.devnull: the run continues and
    ends with its own exit code. Call it only in commands. Streams that are not files of the
    operating system, such as a notebook's, are not changed.
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
