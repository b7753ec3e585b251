"""Arrays of any usual range of pixels become 0..255, and what is ambiguous is refused."""

import numpy as np
import pytest

from cvcourse import data
from cvcourse.data import pixel_range

BYTES = np.random.default_rng(0).integers(0, 256, (52, 10, 8, 3), "uint8")
CODED = {  # name: (how bytes become so, the range's name)
    "uint8": (lambda x: x, "0..255"),
    "int64": (lambda x: x.astype("int64"), "0..255"),
    "uint16 of bytes": (lambda x: x.astype("uint16"), "0..255"),
    "float32 of bytes": (lambda x: x.astype("float32"), "0..255"),
    "0..1": (lambda x: x / 255, "0..1"),
    "0..1 float16": (lambda x: (x / 255).astype("float16"), "0..1"),
    "-1..1": (lambda x: (x / 127.5 - 1).astype("float32"), "-1..1"),
    "-1..1 float16": (lambda x: (x / 127.5 - 1).astype("float16"), "-1..1"),
    "sixteen bits": (lambda x: x.astype("uint16") * 257, "0..65535"),
}


def saved(tmp_path, train, test):
    labels = np.arange(52) % 4
    path = tmp_path / "a.npz"
    np.savez(path, x_train=train, y_train=labels[:40], x_test=test, y_test=labels[40:])
    return path


@pytest.mark.parametrize("coding", CODED)
def test_bytes_come_back_whatever_they_were_coded_as(coding, tmp_path):
    code, name = CODED[coding]
    plain = data.load(saved(tmp_path, BYTES[:40], BYTES[40:]))
    loaded = data.load(saved(tmp_path, code(BYTES[:40]), code(BYTES[40:])))
    for split, expected in zip(
        (loaded.train, loaded.validation, loaded.test),
        (plain.train, plain.validation, plain.test),
        strict=True,
    ):
        assert split.images.dtype == np.uint8
        np.testing.assert_array_equal(split.images, expected.images)
    assert loaded.pixel_range == name
    assert loaded.fingerprint() == plain.fingerprint()
    told = "pixels of" in str(loaded)
    assert told == (name != "0..255")


def test_values_between_bytes_stay(tmp_path):
    images = np.random.default_rng(1).uniform(0, 1, (52, 10, 8, 3))
    loaded = data.load(saved(tmp_path, images[:40], images[40:]))
    assert loaded.test.images.dtype == np.float32
    np.testing.assert_allclose(loaded.test.images, 255 * images[40:], rtol=1e-5)


def test_true_is_white(tmp_path):
    loaded = data.load(saved(tmp_path, BYTES[:40] > 99, BYTES[40:] > 99))
    np.testing.assert_array_equal(loaded.test.images, 255 * (BYTES[40:] > 99))
    assert loaded.pixel_range == "0..1"


def test_a_mask_of_bytes_beside_0_to_1_is_scaled_as_well(tmp_path):
    """0 and 1 alone in uint8 agree with 0..1, and become what its other splits become."""
    loaded = data.load(saved(tmp_path, BYTES[:40] / 255, BYTES[40:] % 2))
    np.testing.assert_array_equal(loaded.test.images, 255 * (BYTES[40:] % 2))


AMBIGUOUS = {
    "standardized": lambda x: (x - x.mean()) / x.std(),
    "the digits' 0..16": lambda x: x / 16,
    "0..100": lambda x: x / 2.55,
    "a quarter of 0..1": lambda x: x / 1020,
    "-0.5..0.5": lambda x: x / 255 - 0.5,
    "-128..127": lambda x: x.astype("int8"),
    "twelve bits": lambda x: x.astype("uint16") * 16,
    "0 and 1 as bytes": lambda x: x % 2,
    "more than 255": lambda x: x.astype(float) * 3,
    "sixteen bits as int32": lambda x: x.astype("int32") * 257,
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_is_ambiguous_is_refused(what, tmp_path):
    images = AMBIGUOUS[what](BYTES)
    path = saved(tmp_path, images[:40], images[40:])
    with pytest.raises(data.DataError) as caught:
        data.load(path)
    assert str(caught.value).startswith(f"{path}: train images are ")
    assert "clearly one of 0..1, -1..1, 0..255, 0..65535 (uint16): scale them" in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (lambda x: x, lambda x: x / 255),
        (lambda x: x / 255, lambda x: x),
        (lambda x: x / 127.5 - 1, lambda x: x / 255),
        (lambda x: x.astype("uint16") * 257, lambda x: x),
        (lambda x: x, lambda x: x // 200),
    ],
)
def test_splits_of_different_ranges_are_refused(train, test, tmp_path):
    path = saved(tmp_path, train(BYTES[:40]), test(BYTES[40:]))
    with pytest.raises(data.DataError, match=r"train images are in .*, test images go from .* to"):
        data.load(path)


def test_dark_test_images_agree(tmp_path):
    for train, dark in ((BYTES[:40], BYTES[40:] // 6), (BYTES[:40] / 255, BYTES[40:] / 1500)):
        assert data.load(saved(tmp_path, train, dark)).test.images.max() < 50
    assert data.load(saved(tmp_path, BYTES[:40], 0 * BYTES[40:])).test.images.max() == 0


def test_recognition_by_its_bounds():
    for values, name in (
        ([0, 1.0009], "0..1"),
        ([0, 1.002], None),
        ([0, 0.49], None),
        ([0.4, 0.5], None),
        ([0.4, 0.51], "0..1"),
        ([-0.51, 0.51], "-1..1"),
        ([-0.5, 0.5], None),
        ([-0.49, 1], None),
        ([0, 128], "0..255"),
        ([0, 127], None),
        ([0, 256], None),
        ([0, 0], "0..255"),
    ):
        assert pixel_range.recognize(np.array(values)) == name, values
