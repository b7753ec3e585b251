"""One reader of photos: the same pixels in datasets, batches and classify, and the right ones."""

import io
import os
import pathlib
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cvcourse import data
from cvcourse.data import photo

Y, X = np.mgrid[:24, :16]
SMOOTH = np.stack([10 * Y, 15 * X, 5 * (Y + X)], axis=-1).astype("uint8")  # alike in no position
STORED = {  # by EXIF orientation: how pixels are stored that are SMOOTH once they are upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}
FORMATS = {  # file name: Pillow's options, and how far a pixel may be off
    "a.jpg": ({"quality": 95, "subsampling": 2}, 25),
    "b.jpg": ({"quality": 95, "progressive": True}, 25),
    "a.png": ({}, 0),
    "a.webp": ({"lossless": True}, 0),
    "a.tif": ({}, 0),
    "b.tif": ({"compression": "tiff_adobe_deflate"}, 0),
    "a.avif": ({"quality": 100}, 12),
}


def with_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def folder_of(tmp_path, image, name, **options):
    """A folder of two classes that hold the same image, and its file."""
    image.save(tmp_path / name, **options)
    for label in "ab":
        place = tmp_path / "set" / "train" / label
        place.mkdir(parents=True)
        shutil.copy(tmp_path / name, place)
    (tmp_path / "set" / "val").symlink_to(tmp_path / "set" / "train")
    return tmp_path / "set", place / name


def seen_everywhere(folder, file):
    """The pixels of a folder's file, which its split, a batch and `read_photo` agree on."""
    loaded = data.load(folder)
    (batch, *_), *_ = data.stream(loaded.train, batch_size=2, seed=0, shuffle=False)
    size, channels = loaded.input_shape[:2], loaded.input_shape[2]
    pixels = loaded.train.images[1]
    np.testing.assert_array_equal(batch[1], pixels)
    np.testing.assert_array_equal(data.read_photo(file, channels, size), pixels)
    return pixels


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_upright_for_everyone(name, orientation, tmp_path):
    options, error = FORMATS[name]
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](SMOOTH)))
    folder, file = folder_of(tmp_path, image, name, **options, exif=with_orientation(orientation))
    pixels = seen_everywhere(folder, file)
    assert pixels.shape == SMOOTH.shape
    np.testing.assert_allclose(pixels.astype(int), SMOOTH, atol=error)
    plain = name.endswith(("jpg", "png"))
    assert (photo.read_header(file, "it").route == photo.BY_PILLOW) != plain


def test_orientations_of_one_folder_are_each_their_own(tmp_path):
    """Sizes are those of upright photos; TensorFlow's and Pillow's routes in one stream."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for orientation, store in STORED.items():
            image = Image.fromarray(np.ascontiguousarray(store(SMOOTH)))
            kind = "webp" if orientation == 5 else "png"
            exif = with_orientation(orientation)
            image.save(tmp_path / label / f"{orientation}.{kind}", exif=exif, lossless=True)
    loaded = data.load(tmp_path)
    assert loaded.input_shape == (24, 16, 3)
    for split in (loaded.train, loaded.validation, loaded.test):
        for images, *_ in data.stream(split, batch_size=3, seed=0, shuffle=False):
            np.testing.assert_array_equal(images, np.stack([SMOOTH] * 3))


@pytest.mark.parametrize("resized", [False, True])
def test_many_images_at_once_are_those_one_by_one(resized, tmp_path):
    """Beyond a few they are decoded in parallel; a broken one among them is named all the same."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(30):
            image = Image.fromarray(np.roll(SMOOTH, i, axis=0))
            exif = with_orientation(1 + i % 8)
            image.save(tmp_path / label / f"{i:02}.{'png' if i % 3 else 'webp'}", exif=exif)
    images = data.load(tmp_path).train.images
    images = images.resized(20, "bicubic") if resized else images
    several = images[:]
    assert several.dtype == (np.float32 if resized else np.uint8)
    np.testing.assert_array_equal(several, np.stack([images[i] for i in range(len(images))]))
    chosen = np.arange(40)[::-1]
    np.testing.assert_array_equal(images[chosen], several[chosen])
    broken = pathlib.Path(os.fsdecode(images.files[33]))
    broken.write_bytes(broken.read_bytes()[:-50])
    with pytest.raises(data.DataError, match=f"cannot read the image {broken}: "):
        images[:]


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(STORED[6](SMOOTH))).save(buffer, "PNG")
    exif = with_orientation(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    content, end = buffer.getvalue()[:-12], buffer.getvalue()[-12:]
    (tmp_path / "late.png").write_bytes(content + chunk + end)
    np.testing.assert_array_equal(data.read_photo(tmp_path / "late.png"), SMOOTH)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_damaged_exif_turns_nothing(name, tmp_path):
    """As viewers do: the pixels are whole."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x09" + bytes(range(40))
    image = Image.fromarray(SMOOTH)
    folder, file = folder_of(tmp_path, image, name, exif=exif, lossless=True, quality=95)
    np.testing.assert_allclose(seen_everywhere(folder, file).astype(int), SMOOTH, atol=25)


def test_a_photo_of_another_size_is_scaled_alike(tmp_path):
    """classify gives a model of one size what training gave it."""
    folder, _ = folder_of(tmp_path, Image.fromarray(SMOOTH), "a.png")
    large = np.kron(SMOOTH, np.ones((4, 3, 1), "uint8"))
    for label in "ab":
        Image.fromarray(large).save(folder / "train" / label / "b.jpg", quality=95)
    loaded = data.load(folder)
    file = folder / "train" / "b" / "b.jpg"
    pixels = data.read_photo(file, 3, loaded.input_shape[:2])
    np.testing.assert_array_equal(loaded.train.images[3], pixels)
    # of 96x48 the middle 48x48 is seen, by Pillow as by us
    with Image.open(file) as image:
        expected = image.crop((0, 24, 48, 72)).resize((32, 32), Image.Resampling.BILINEAR)
    assert loaded.input_shape == (32, 32, 3)  # the median of 16 and 48
    np.testing.assert_allclose(pixels.astype(int), np.asarray(expected), atol=1)


def cut_out(mode):
    """SMOOTH in a mode with transparency, of which the upper half is transparent: and its file."""
    image = Image.fromarray(SMOOTH)
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.uint8(255 * (Y >= 12))))
        return image, {}
    if mode == "P":
        pixels = np.uint8(np.where(Y < 12, 0, 1 + X))
        image = Image.fromarray(pixels).convert("P")
        image.putpalette([0, 0, 0, *np.repeat(np.arange(10, 180, 10), 3)])
        return image, {"transparency": 0}
    pixels = np.array(image)
    pixels[:12] = 7
    return Image.fromarray(pixels), {"transparency": (7, 7, 7)}


@pytest.mark.parametrize(
    ("mode", "name", "channels"),
    [
        *(("RGBA", name, 3) for name in ("a.png", "a.webp", "a.tif")),
        ("LA", "a.png", 1),
        ("P", "a.png", 3),
        ("P", "a.gif", 3),
        ("tRNS", "a.png", 3),
    ],
)
def test_what_is_transparent_is_white_for_everyone(mode, name, channels, tmp_path):
    image, options = cut_out(mode)
    options |= {"lossless": True} if name == "a.webp" else {}
    pixels = seen_everywhere(*folder_of(tmp_path, image, name, **options))
    assert pixels.shape == (24, 16, channels)
    assert (pixels[:12] == 255).all()
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L"), int)
    np.testing.assert_array_equal(pixels[12:], expected.reshape(24, 16, channels)[12:])


def deep_png(values):
    """A PNG of 16-bit values (h, w, c), which Pillow does not write in color."""

    def chunk(kind, content):
        content = kind + content
        return (
            struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        )

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_of_sixteen_bits_the_upper_eight_count(channels, tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (24, 16, channels), "uint16")
    if channels in (2, 4):
        values[..., -1] = 65535
    folder, file = folder_of(tmp_path, Image.fromarray(SMOOTH), "a.png")
    for label in "ab":
        (folder / "train" / label / "a.png").write_bytes(deep_png(values))
    pixels = seen_everywhere(folder, file)
    expected = (values if channels % 2 else values[..., :-1]) >> 8
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_gray_bits(name, tmp_path):
    values = np.arange(0, 65536, 171, dtype="uint16")[: 24 * 16].reshape(24, 16)
    folder, file = folder_of(tmp_path, Image.fromarray(values), name)
    np.testing.assert_array_equal(seen_everywhere(folder, file)[..., 0], values >> 8)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_that_hold_eight_are_refused_by_everyone(channels, tmp_path):
    folder, file = folder_of(tmp_path, Image.fromarray(SMOOTH), "a.png")
    for label in "ab":
        (folder / "train" / label / "a.png").write_bytes(
            deep_png(SMOOTH[..., :channels].astype("uint16"))
        )
    loaded = data.load(folder)
    sentence = r"b/a\.png: all values of its 16 bits are below 256, which is black: save it with 8"
    with pytest.raises(data.DataError, match=sentence):
        data.read_photo(file)
    with pytest.raises(data.DataError, match=sentence.replace("b/a", "a/a")):
        loaded.train.images[0]
    with (
        pytest.raises(data.DataError, match="below 256"),
        data.report_corrupt_images(loaded),
    ):
        list(data.stream(loaded.train, batch_size=2, seed=0, shuffle=False))


def test_black_of_sixteen_bits_is_black(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_png(np.zeros((2, 3, 1), "uint16")))
    assert data.read_photo(tmp_path / "a.png").tolist() == [[[0, 0, 0]] * 3] * 2


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (Image.fromarray(SMOOTH[..., 0] / np.float32(255)), "a.tif", "TIFF image of mode F"),
        (Image.fromarray(SMOOTH[..., 0].astype("int32")), "a.tif", "TIFF image of mode I"),
    ],
)
def test_what_has_no_range_is_refused_by_everyone(image, name, words, tmp_path):
    folder, file = folder_of(tmp_path, image, name)
    for read in (lambda: data.load(folder), lambda: data.read_photo(file)):
        with pytest.raises(data.DataError, match=f"{name} is a {words}, whose range .* 8 bits"):
            read()


def test_colors_become_gray_as_pillow_weighs_them(tmp_path):
    """A gray model sees a color photo; libpng would weigh otherwise."""
    expected = np.asarray(Image.fromarray(SMOOTH).convert("L"))
    for name in ("a.png", "a.webp"):
        Image.fromarray(SMOOTH).save(tmp_path / name, lossless=True)
        np.testing.assert_array_equal(data.read_photo(tmp_path / name, 1)[..., 0], expected)


def test_lab_becomes_rgb(tmp_path):
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(SMOOTH), srgb, lab, outputMode="LAB")
    image.save(tmp_path / "a.tif")
    found = data.read_photo(tmp_path / "a.tif").astype(int)
    assert np.abs(found - SMOOTH).mean() < 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evil.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
        ("evil.png", b"\xc5\xd0\xd3\xc6" + bytes(60)),  # EPS with a preview
        ("icon.jpg", b"\0\0\1\0\1\0" + bytes(60)),
        ("empty.jpg", b""),
    ],
)
def test_other_formats_are_not_opened(name, content, tmp_path, monkeypatch):
    """Pillow would hand PostScript to Ghostscript, which runs it."""
    ran = []
    monkeypatch.setattr("subprocess.check_call", lambda *args, **rest: ran.append(args))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(data.DataError, match=f"{name} is not an image; remove or replace it"):
        data.read_photo(tmp_path / name)
    assert not ran


@pytest.mark.parametrize("brand", ["heic", "avif"])
def test_a_missing_decoder_is_named(brand, tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(Image, "init", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + bytes(12))
    name, install = {"heic": ("HEIF", "pillow-heif"), "avif": ("AVIF", "--upgrade pillow")}[brand]
    with pytest.raises(data.DataError, match=f"a.jpg is in the format {name}, .*{install}"):
        data.read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a device"])
def test_only_regular_files_are_read(kind, tmp_path):
    path = tmp_path / "a.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    path = pathlib.Path("/dev/zero") if kind == "device" else path
    with pytest.raises(data.DataError, match=f"{path} is a .*, not a regular file"):
        data.read_photo(path)
    if kind in ("pipe", "link to a device"):
        folder, _ = folder_of(tmp_path, Image.fromarray(SMOOTH), "b.jpg")
        path.rename(folder / "train" / "a" / "a.jpg")
        with pytest.raises(data.DataError, match=r"a/a\.jpg is a .*, not a regular file"):
            data.load(folder)


def test_a_file_s_size_is_bounded(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(SMOOTH).save(path)
    os.truncate(path, 2**40)  # of zeros that take no room
    with pytest.raises(data.DataError, match="larger than"):
        data.read_photo(path)
    with pytest.raises(data.DataError, match=r"a\.png has 1,099,511,627,776 bytes"):
        photo.read_header(path, str(path))


def test_nothing_is_printed_about_damaged_files(tmp_path, capfd):
    """libjpeg and libtiff print by themselves, to the process' standard error."""
    buffer = io.BytesIO()
    Image.fromarray(SMOOTH).resize((160, 240)).save(buffer, "JPEG")
    content = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    data.read_photo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(data.DataError, match=r"cannot read the image .*b\.jpg: .*; remove"):
        data.read_photo(tmp_path / "b.jpg")
    assert capfd.readouterr() == ("", "")
