"""Files of published weights: found on this machine or downloaded, and checked before use.

An interrupted download continues where it stopped. A file gets its final name only after its length
and hash were checked.
"""

import contextlib
import hashlib
import http.client
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

from cvcourse.errors import RunError
from cvcourse.files import PARTIAL, cache_folder, home

CHUNK = 1 << 20  # bytes
TIMEOUT = 20  # seconds without a byte
HASHES = {32: "md5"}  # by number of hex digits; any other is the beginning of a SHA-256
HUB = "//huggingface.co/"
SHA256_OF_HUB = "X-Linked-ETag"  # header of the redirection to a file
KERAS_CALLS_IT = {"NASNet-mobile.h5": "nasnet_mobile.h5", "NASNet-large.h5": "nasnet_large.h5"}


def fetch(address, expected="", weights_dir=None):
    """Return the path of a published file, which is downloaded if this machine does not have it.

    The file is looked for in `weights_dir`, $CVCOURSE_WEIGHTS, our own cache and the caches of
    Keras, torch and the Hugging Face hub.

    Args:
        address: URL of the file.
        expected: Its hash in hexadecimal, or the first digits; "" if none is published.
        weights_dir: Folder that is searched first, and downloaded to.

    Returns:
        pathlib.Path.

    Raises:
        RunError: If the file has another hash, or is not found and cannot be downloaded.
    """
    path = cached(address, weights_dir)
    if path is None:
        path = _folders(weights_dir)[0] / file_name(address)
        _download(address, expected, path)
    else:
        _check(path, expected)
    return path


def cached(address, weights_dir=None):
    """Return the path of a published file on this machine, not checked; None if there is none."""
    name = file_name(address)
    places = [folder / name for folder in _folders(weights_dir)]
    places += [home("KERAS_HOME", "~/.keras") / "models" / KERAS_CALLS_IT.get(name, name)]
    places += [home("TORCH_HOME", "~/.cache/torch") / "hub" / "checkpoints" / name]
    if HUB in address:
        owner, model = _repository(address)
        hub = home("HF_HOME", "~/.cache/huggingface") / "hub"
        snapshots = hub / f"models--{owner}--{model}" / "snapshots"
        places += sorted(snapshots.glob(f"*/{address.rpartition('/')[2]}"))
    return next((path for path in places if path.is_file()), None)


def file_name(address):
    """Return the local name of a file: its own name, or the name of its repository on the hub."""
    name = address.rpartition("/")[2]
    return _repository(address)[1] + pathlib.Path(name).suffix if HUB in address else name


def _repository(address):
    """Return the owner and the repository of a URL of the hub."""
    owner, model = address.split("/")[3:5]
    return owner, model


def _folders(weights_dir):
    """List the folders that are searched for our own files; the first takes downloads."""
    named = [folder for folder in (weights_dir, os.environ.get("CVCOURSE_WEIGHTS")) if folder]
    return [*(pathlib.Path(folder).expanduser() for folder in named), cache_folder() / "weights"]


def _download(address, expected, path):
    """Download a file to `path`. Raises RunError, and keeps the part that was received."""
    if "://" not in address:
        raise RunError(
            f"{address} cannot be downloaded by itself: give its path, or put it in {path.parent}"
        )
    partial = path.with_name(PARTIAL + path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stated = _receive(address, partial)
    except (OSError, http.client.HTTPException) as error:  # urllib's and ours are OSErrors
        with contextlib.suppress(OSError):
            if partial.stat().st_size == 0:
                partial.unlink()
        raise RunError(
            f"cannot download {address}: {error}; put the file in {path.parent} or give its path, "
            "or try again: the download continues where it stopped"
        ) from error
    try:
        _check(partial, expected or stated)
    except RunError:
        partial.unlink()  # continuing it would lead to the wrong hash again
        raise
    os.replace(partial, path)


def _receive(address, partial):
    """Append the missing part of a file to `partial`; return the SHA-256 that the server states."""
    stated = _Stated()
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "cvcourse"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(address, headers=headers)
    try:
        response = urllib.request.build_opener(stated).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return stated.hash  # the file is complete: its hash is checked next
        raise
    with response, open(partial, "ab") as file:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
            file.truncate(0)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with _progress(partial.name.removeprefix(PARTIAL), total) as shown:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                shown(have)
    if total is not None and have != total:
        raise OSError(f"the connection broke after {have:,} of {total:,} bytes")
    return stated.hash


class _Stated(urllib.request.HTTPRedirectHandler):
    """Keep the hash of the file that a redirection states."""

    hash = ""

    def redirect_request(self, request, file, code, message, headers, address):
        self.hash = (headers.get(SHA256_OF_HUB) or self.hash).strip('"')
        return super().redirect_request(request, file, code, message, headers, address)


@contextlib.contextmanager
def _progress(name, total):
    """Context manager: yield a function that displays the number of bytes received so far."""
    terminal, begun = sys.stderr.isatty(), time.monotonic()
    of = f" of {total / 1e6:.1f}" if total else ""
    print(f"downloading {name}{f' ({total / 1e6:.1f} MB)' if total else ''}", file=sys.stderr)

    def show(have):
        if terminal:
            rate = have / 1e6 / max(time.monotonic() - begun, 1e-3)
            line = f"\r{have / 1e6:.1f}{of} MB, {rate:.1f} MB/s "
            print(line, end="", file=sys.stderr, flush=True)

    yield show
    if terminal:
        print(file=sys.stderr)


def _check(path, expected):
    """Raise RunError unless the hash of a file begins with `expected`."""
    if not expected:
        return
    found = file_hash(path, HASHES.get(len(expected), "sha256"))
    if not found.startswith(expected.lower()):
        raise RunError(
            f"{path} is not the published file: its hash is {found}, not {expected}; it is "
            "truncated or changed: remove it to download it again"
        )


def file_hash(path, kind="sha256"):
    """Return the hash of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
