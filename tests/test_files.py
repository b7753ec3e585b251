"""Files are read whole, bounded, and without hanging on what is no regular file."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from cvcourse import files
from cvcourse.errors import RunError


def test_a_regular_file_is_read_up_to_the_limit(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    assert files.read_bytes(str(path), 6) == b"12345"
    with pytest.raises(RunError, match=f"^{path} is larger than 4 bytes"):
        files.read_bytes(path, 4)


def test_a_file_under_another_suffix_for_a_while(tmp_path):
    path = tmp_path / "net.bin"
    path.write_bytes(b"12345")
    with files.with_suffix(path, ".weights.h5") as other:
        assert (other.name, other.read_bytes()) == ("file.weights.h5", b"12345")
    assert not other.exists()
    assert path.read_bytes() == b"12345"
    with files.with_suffix(str(path), ".bin") as same:
        assert same == str(path)


def test_what_grows_without_a_size_is_bounded_too():
    """Files under /proc are regular ones of size 0."""
    with pytest.raises(RunError, match=r"^/proc/self/maps is larger than 10 bytes"):
        files.read_bytes("/proc/self/maps", 10)


@pytest.fixture
def irregular(tmp_path):
    """{what it is: path} of what must never be opened."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "link_to_pipe").symlink_to(tmp_path / "pipe")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(os.path.relpath(tmp_path / "socket"))
    yield {
        "a pipe": [tmp_path / "pipe", tmp_path / "link_to_pipe"],
        "a directory": [tmp_path / "folder"],
        "a device": [pathlib.Path("/dev/zero"), tmp_path / "link"],
        "a socket": [tmp_path / "socket"],
    }
    bound.close()


@pytest.mark.parametrize("read", [files.require_regular, files.read_json])
def test_what_is_no_regular_file_is_refused_by_name(irregular, read):
    for kind, paths in irregular.items():
        for path in paths:
            with pytest.raises(RunError, match=f"^{path} is {kind}, not a regular file$"):
                read(path)


def test_no_file_is_an_oserror(tmp_path):
    for read in (files.require_regular, files.read_json, lambda path: files.read_bytes(path, 9)):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "absent")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        files.read_bytes(tmp_path / "loop", 9)
    with pytest.raises(RunError, match=r"^cannot read .*loop: .*symbolic links"):
        files.read_json(tmp_path / "loop")


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_what_the_user_pipes_is_read_and_bounded(name):
    code = f"from cvcourse import files; print(files.read_bytes({name!r}, 5))"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, input=b"12345", capture_output=True).stdout == b"b'12345'\n"
    with open("/dev/zero", "rb") as endless:
        error = subprocess.run(run, stdin=endless, capture_output=True, timeout=60).stderr.decode()
    assert f"{name} is larger than 5 bytes" in error


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "Expecting value"),
        (b'{"a": 1', "Expecting"),
        (b"[1]", "it holds no fields"),
        (b"{}", "it holds no fields"),
        (b'{"a": "\xff"}', "invalid start byte"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300 digits"),
        (b'{"a": ' + b"[" * 100_000, "it is nested more than 32 levels deep"),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "it is nested more than 32 levels deep"),
    ],
)
def test_damaged_json_is_one_line_with_file_reason_and_remedy(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"^{path} is damaged: .*{reason}.*; remove it$"):
        files.read_json(path, remedy="remove it")


def test_json_is_read_with_and_without_byte_order_mark(tmp_path):
    path = tmp_path / "a.json"
    for content in ('{"a": [[1]]}', '\ufeff{"a": [[1]]}'):
        path.write_text(content, "utf-8")
        assert files.read_json(path) == {"a": [[1]]}
