"""Check for a network once and briefly, since the libraries retry for minutes."""

import socket

from cvcourse.data.dataset import DataError

HOST = "storage.googleapis.com"  # of Keras' and TFDS' datasets
SECONDS = 3


def require_network(problem, remedy):
    """Raise DataError with the problem and its remedy unless HOST answers."""
    try:
        socket.create_connection((HOST, 443), timeout=SECONDS).close()
    except OSError as error:
        raise DataError(f"{problem}; no network to download it; {remedy}") from error
