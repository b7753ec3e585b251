"""The comparison of convolutions: its numbers, its report, and from where the FFT is faster."""

import json

import numpy as np
import pytest
from cvcourse.recipes import convolution
from PIL import Image

from cvcourse.classic import fast_convolution, filters

SETTINGS = dict(images=1, channels=2, filters=3, size=16, rounds=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("convolution") / "run"
    return folder, convolution.main(convolution.Config(**SETTINGS, workdir=str(folder)))


def test_the_run_directory_has_the_numbers(run):
    folder, metrics = run
    kept = json.loads((folder / "metrics.json").read_text())
    assert kept.keys() == {
        *("methods", "seconds", "crossing", "im2col", "seed", "machine", "versions"),
    }
    assert kept["methods"] == metrics["methods"]
    assert [*kept["methods"]] == [*fast_convolution.METHODS]
    direct, fast = (kept["methods"][name] for name in ("direct", "F(4x4, 3x3)"))
    assert (direct["products"], fast["products"]) == (16**2 * 9 * 6, 16**2 * 9 * 6 / 4)
    assert direct["error_float32"] < 1e-6 < 1e-4 < direct["error_float16"] < 0.1
    assert kept["methods"]["FFT"]["error_float16"] is None
    for rows in kept["seconds"].values():
        assert [*rows] == [str(size) for size in range(1, 16, 2)]
        for row in rows.values():
            low, high = row["quartiles"]
            assert 0 < low <= row["median"] <= high
    # The notes: [96 x 363] times [363 x 3025].
    assert kept["im2col"]["first of AlexNet, in the notes"]["im2col"] == [363, 3025]


def test_the_report_shows_tables_and_figures(run, capsys, monkeypatch):
    folder, metrics = run
    page = (folder / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 2
    assert "<td>13,824</td>" in page  # products of direct
    assert "<td>363 x 3,025</td>" in page
    assert convolution.CREDIT in page
    monkeypatch.setattr(convolution, "times", None)  # nothing is measured again
    again = convolution.main(convolution.Config(**SETTINGS, workdir=str(folder)))
    assert again["methods"] == metrics["methods"]
    assert f"{folder} is finished" in capsys.readouterr().out


def test_own_photo(tmp_path, monkeypatch):
    taken = {}

    def filtered(photo, kernel):
        taken[photo.shape] = photo[0, 0]
        return photo.astype(float)

    monkeypatch.setattr(filters, "filter_image", filtered)
    row = {"median": 1.0, "quartiles": (1.0, 1.0)}
    monkeypatch.setattr(
        convolution, "times", lambda config, kernel, methods: dict.fromkeys(methods, row)
    )
    Image.new("RGB", (90, 60), (255, 0, 0)).save(tmp_path / "red.png")
    config = convolution.Config(
        **SETTINGS, photo=str(tmp_path / "red.png"), workdir=str(tmp_path / "run")
    )
    found = convolution.main(config)
    assert taken == {convolution.PHOTO_SIZE: 76}  # ITU-R BT.601: 0.299 of 255
    page = (tmp_path / "run" / "report.html").read_text()
    assert "red.png" in page and convolution.CREDIT not in page
    assert found["crossing"] == {"direct": None, "im2col": None}


def test_draws_depend_on_the_seed_alone():
    (x, w), (same, _), (other, _) = (
        convolution.draw(convolution.Config(**SETTINGS, seed=seed), 5) for seed in (0, 0, 1)
    )
    assert (x.shape, w.shape, x.dtype) == ((1, 2, 16, 16), (3, 2, 5, 5), np.float32)
    np.testing.assert_array_equal(x, same)
    assert not np.array_equal(x, other)


@pytest.mark.parametrize(
    ("slow", "fast", "size"),
    [
        ([1, 2, 3, 4], [2, 2, 2, 2], 5),
        ([3, 3, 3, 3], [2, 2, 2, 2], 1),
        ([1, 3, 2, 4], [2, 2, 2, 2], 7),  # for good
        ([3, 3, 3, 1], [2, 2, 2, 2], None),
    ],
)
def test_the_size_from_which_on_a_method_is_faster(slow, fast, size):
    rows = [
        {kernel: {"median": value} for kernel, value in zip((1, 3, 5, 7), values, strict=True)}
        for values in (slow, fast)
    ]
    assert convolution.overtaken(*rows) == size
    words = convolution.crossed("im2col", size)
    assert ("isn't faster" in words) if size is None else (f"from {size} x {size} on" in words)


def test_wrong_values(tmp_path, capsys):
    assert convolution.cli(["--size=14"]) == 2
    assert "--size expects a whole number of at least 15" in capsys.readouterr().err
    assert convolution.cli([f"--photo={tmp_path}/none.jpg", f"--workdir={tmp_path}/run"]) == 1
    assert "none.jpg" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
