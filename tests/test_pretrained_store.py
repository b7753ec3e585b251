"""Files of weights: where they are sought, how downloads go on, and what is refused."""

import contextlib
import functools
import hashlib
import http.server
import threading

import pytest

from cvcourse.errors import RunError
from cvcourse.models.pretrained import store

CONTENT = bytes(range(256)) * 40_000  # 10 MB: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT: whole, from an offset, broken off, or by way of a redirection."""

    def __init__(self, *args, log, **kwargs):
        self.log = log
        super().__init__(*args, **kwargs)

    def do_GET(self):
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.log.append((self.path, begin))
        if self.path.startswith("/hub"):
            self.send_response(302)
            self.send_header("Location", "/whole.bin")
            self.send_header("X-Linked-ETag", f'"{SHA256 if "right" in self.path else "0" * 64}"')
            self.end_headers()
            return
        if "missing" in self.path:
            self.send_error(404)
            return
        ranged = begin and "unranged" not in self.path
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        content = CONTENT[begin:] if ranged else CONTENT
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            breaks_off = "broken" in self.path and len(self.log) == 1
            self.wfile.write(content[: len(content) // 2] if breaks_off else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    log = []
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, log=log)
    ) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", log
        httpd.shutdown()


@pytest.fixture(autouse=True)
def nothing_cached(tmp_path, monkeypatch):
    for variable in ("KERAS_HOME", "TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.delenv("CVCOURSE_WEIGHTS", raising=False)


def test_downloads_once_into_the_first_folder(server, tmp_path, capsys):
    address, log = server
    for _ in range(2):
        path = store.fetch(f"{address}/whole.bin", SHA256[:8], tmp_path / "here")
        assert path == tmp_path / "here" / "whole.bin"
        assert path.read_bytes() == CONTENT
    assert log == [("/whole.bin", 0)]
    assert "downloading whole.bin (10.2 MB)" in capsys.readouterr().err
    assert [file.name for file in path.parent.iterdir()] == ["whole.bin"]


@pytest.mark.parametrize("name", ["broken.bin", "broken_unranged.bin"])
def test_goes_on_where_the_connection_broke(server, tmp_path, name):
    address, log = server
    with pytest.raises(RunError, match=r"broke after 5,120,000 of 10,240,000 bytes.*try again"):
        store.fetch(f"{address}/{name}", SHA256, tmp_path)
    assert not (tmp_path / name).exists()
    assert store.fetch(f"{address}/{name}", SHA256, tmp_path).read_bytes() == CONTENT
    assert log == [(f"/{name}", 0), (f"/{name}", 5_120_000)]


def test_a_complete_part_is_only_checked(server, tmp_path):
    address, _ = server
    (tmp_path / ".part-whole.bin").write_bytes(CONTENT)
    assert store.fetch(f"{address}/whole.bin", SHA256, tmp_path).read_bytes() == CONTENT


def test_a_part_of_something_else_is_refused_and_dropped(server, tmp_path):
    address, _ = server
    (tmp_path / ".part-whole.bin").write_bytes(b"?" * 1000)
    with pytest.raises(RunError, match="not the published file"):
        store.fetch(f"{address}/whole.bin", SHA256, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    assert store.fetch(f"{address}/whole.bin", SHA256, tmp_path).read_bytes() == CONTENT


def test_the_hash_that_the_hub_states_is_held_to(server, tmp_path):
    address, _ = server
    path = store.fetch(f"{address}/hub/right/model.bin", "", tmp_path)
    assert path.read_bytes() == CONTENT
    with pytest.raises(RunError, match=f"not {'0' * 64}"):
        store.fetch(f"{address}/hub/wrong/other.bin", "", tmp_path)
    assert not (tmp_path / "other.bin").exists()


def test_what_cannot_be_had_leaves_nothing(server, tmp_path):
    address, _ = server
    with pytest.raises(RunError, match=r"cannot download .*missing.bin: HTTP Error 404"):
        store.fetch(f"{address}/missing.bin", "", tmp_path)
    with pytest.raises(RunError, match=r"cannot download http://127.0.0.1:9/a.bin: .*refused"):
        store.fetch("http://127.0.0.1:9/a.bin", "", tmp_path)
    with pytest.raises(RunError, match=r"lite.pth cannot be downloaded by itself: give its path"):
        store.fetch("lite.pth", "", tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


HUB = "https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
TORCH = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("given/resnet18-f37072fd.pth", TORCH),
        ("XDG_CACHE_HOME/cvcourse/weights/resnet50.a1_in1k.safetensors", HUB),
        ("KERAS_HOME/models/a.h5", "https://storage.googleapis.com/tensorflow/a.h5"),
        (
            "KERAS_HOME/models/nasnet_large.h5",
            "https://storage.googleapis.com/tensorflow/keras-applications/nasnet/NASNet-large.h5",
        ),
        ("TORCH_HOME/hub/checkpoints/resnet18-f37072fd.pth", TORCH),
        (
            "HF_HOME/hub/models--timm--resnet50.a1_in1k/snapshots/0f1e/model.safetensors",
            HUB,
        ),
    ],
)
def test_files_that_lie_somewhere_already_are_found(tmp_path, place, address):
    assert store.cached(address, tmp_path / "given") is None
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert store.cached(address, tmp_path / "given") == file


def test_a_found_file_with_another_hash_is_named_and_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CVCOURSE_WEIGHTS", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "a.h5"
    file.write_bytes(b"weights")
    md5 = "c2c37ea517e94d9795004a39431a14cb"
    with pytest.raises(RunError, match=f"a.h5 is not the published file: its hash is .*not {md5}"):
        store.fetch("https://storage.googleapis.com/a.h5", md5)
    assert store.fetch("https://x.org/a.h5", hashlib.md5(b"weights").hexdigest()) == file
    assert store.fetch("https://x.org/a.h5", hashlib.sha256(b"weights").hexdigest()[:8]) == file
