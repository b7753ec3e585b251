"""An exported file in a process of its own, without Keras: thread pools disturb each other."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


class ExportedProcess:
    """Context manager: a process that has loaded the file of a target.

    Args:
        folder: Folder of targets.json.
        target: Key of `deployment.TARGETS`.

    Attributes:
        peak_bytes: Peak memory after the last request above that after the runtime's import; None
            where it is not known.
        modules: Which of cvcourse and tensorflow the process has imported.
    """

    def __init__(self, folder: pathlib.Path, target: str):
        self.folder, self.target = folder, target
        self.peak_bytes: int | None = None
        self.modules: list[str] = []

    def __enter__(self) -> "ExportedProcess":
        self._files = tempfile.TemporaryDirectory()
        self._errors = open(pathlib.Path(self._files.name) / "errors", "w+b")
        script = (self.folder / f"run_{self.target}.py").resolve()
        self._process = subprocess.Popen(
            [sys.executable, str(script), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | QUIET,
            cwd=self._files.name,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()
        self._files.cleanup()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Compute the outputs of images (n, h, w, c), float32.

        Raises:
            ValueError: With the last line of its errors, if the process has ended.
        """
        path = str(pathlib.Path(self._files.name) / "outputs.npy")
        self._request(images, outputs=path)
        return np.load(path)

    def seconds(self, images: np.ndarray, count: int = 1) -> list[float]:
        """Measure the seconds of each of `count` calls; errors as `predict`."""
        return self._request(images, count=count)["seconds"]

    def _request(self, images, **settings: Any) -> dict[str, Any]:
        path = pathlib.Path(self._files.name) / "images.npy"
        np.save(path, images)
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is found out below
            self._process.stdin.write(json.dumps({"images": str(path), **settings}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace").strip()
            raise ValueError(text.splitlines()[-1] if text else "the process ended")
        answer = json.loads(line)
        self.peak_bytes, self.modules = answer["peak_bytes"], answer["modules"]
        self.input_type = answer["input_type"]
        return answer
