"""Read photos: upright, on white, 8 bits, in RGB or gray. Nothing else in the package reads them.

The format is recognized by a file's contents, never by its name. EXIF orientation is applied.
Transparent photos are shown on white. Of 16 bits the upper 8 are kept, regardless of the values in
a photo; a 1-bit pixel becomes 0 or 255. Palettes, CMYK, YCbCr and L*a*b* are converted to RGB by
Pillow, and color profiles are ignored. Of several frames or pages the first is read. Floating-point
and 32-bit images are refused, since they have no standard range.

JPEG and PNG of 8-bit gray or RGB, by far the most frequent, are decoded by TensorFlow inside the
data pipeline, all others by Pillow, called from the pipeline.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import struct
import warnings

import numpy as np
import tensorflow as tf

from cvcourse.data.dataset import DataError
from cvcourse.errors import RunError, reason
from cvcourse.files import read_bytes, require_regular
from cvcourse.startup import standard_error_closed

# Formats that Pillow may read: none that runs programs (EPS) or downloads anything.
FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF"),
    *("HEIF",),  # needs the package pillow-heif
)
# A file with one of these suffixes that is not an image is an error.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
DEEP = ("I;16", "I;16B", "I;16L")  # Pillow's modes
GRAY = ("1", "L", "LA", *DEEP)
MODES = (*GRAY, "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB")
LARGEST = 100_000_000  # pixels; a file may claim any number
LARGEST_FILE = 2**29  # bytes
BRANDS = {  # of ISO media files that not every Pillow decodes, and what to install for them
    "AVIF": ((b"avif", b"avis"), "pip install --upgrade pillow"),
    "HEIF": ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1"), "pip install pillow-heif"),
}
ORIENTATION = 0x0112  # EXIF's tag
PNG_EXIF = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # if it has no eXIf chunk
BY_PILLOW = 0  # a route; 1 to 8 are orientations of images that TensorFlow decodes


class NoImage(DataError):
    """The contents of a file are in none of the formats."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Properties of a photo that are known without decoding it.

    Attributes:
        height: Height of the upright photo in pixels.
        width: Width of the upright photo in pixels.
        gray: Whether the photo has no color.
        route: How `decode` reads it: BY_PILLOW, or the EXIF orientation of a plain JPEG or PNG.
    """

    height: int
    width: int
    gray: bool
    route: int

    def route_to(self, channels: int) -> int:
        """Return the route for `channels` channels: only Pillow converts colors to gray."""
        return BY_PILLOW if channels == 1 and not self.gray else self.route


def read_photo(
    path: str | os.PathLike, channels: int = 3, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Read a photo as training reads it.

    Args:
        path: Path of a regular file, or of a pipe (/dev/stdin).
        channels: 3 for RGB, 1 for gray.
        size: Height and width to scale the largest centered part of that aspect ratio to; None
            keeps the photo's size.

    Returns:
        uint8 array (height, width, channels) of 0..255.

    Raises:
        DataError: If the file is missing, too large, damaged or not an image; the message names it.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "red.png")
    ...     Image.new("RGB", (8, 6), "red").save(path)
    ...     read_photo(path).shape, read_photo(path, size=(4, 4))[0, 0]
    ((6, 8, 3), array([255,   0,   0], dtype=uint8))
    """
    name = os.fsdecode(path)
    with naming_image(name):
        contents = read_bytes(pathlib.Path(path), LARGEST_FILE)
        route = read_header(contents, name).route_to(channels)
        image = decode(tf.constant(contents), route, channels)
        return (image if size is None else to_size(image, *size)).numpy()


def read_header(source, name: str) -> Header:
    """Read the properties of a photo without decoding it.

    Args:
        source: Contents as bytes, or path of a regular file.
        name: Name of the photo in errors.

    Returns:
        Its Header.

    Raises:
        NoImage: If the contents are in none of the formats.
        DataError: If they are in a format that cannot be read.
    """
    with naming_image(name), _opened(source, name) as (image, file):
        if image.mode not in MODES and not _is_deep(image):
            raise DataError(
                f"{name} is a {image.format} image of mode {image.mode}, whose range or colors are "
                "not defined; save it as JPEG or PNG with 8 bits"
            )
        deep_png = _is_deep_png(image, file)
        # Pillow would decode all pixels of a PNG to look for EXIF data after them.
        turned = 1 if image.format == "PNG" and not _has_exif(file) else _orientation(image)
        width, height = image.size
        if image.format == "TIFF":
            _require_known_depth(image, name)
            # The stored size: not every version of Pillow gives the upright size.
            width, height = image.tag_v2[256], image.tag_v2[257]
        if turned >= 5:
            width, height = height, width
        plain = (
            image.format in ("JPEG", "MPO", "PNG")
            and image.mode in ("L", "RGB")
            and "transparency" not in image.info
            and not deep_png
        )
        gray = image.mode in GRAY or _is_deep(image)
        return Header(height, width, gray, turned if plain else BY_PILLOW)


def decode(contents, route, channels: int):
    """Decode a photo; works eagerly and inside graphs.

    Args:
        contents: Bytes of the file, a string tensor.
        route: Route of its Header, an int or an integer tensor.
        channels: 3 for RGB, 1 for gray.

    Returns:
        uint8 tensor (height, width, channels).
    """
    if not tf.is_tensor(route):
        if route == BY_PILLOW:
            return _by_pillow(contents, channels)
        return _by_tensorflow(contents, route, channels)
    return tf.cond(
        route == BY_PILLOW,
        lambda: _by_pillow(contents, channels),
        lambda: _by_tensorflow(contents, route, channels),
    )


def to_size(image, height: int, width: int, interpolation: str = "bilinear", *, crop: bool = True):
    """Scale an image with antialiasing to height x width pixels.

    Args:
        image: uint8 tensor (h, w, c).
        height: Height in pixels.
        width: Width in pixels.
        interpolation: Method of tf.image.resize.
        crop: Whether to crop the largest centered part of that aspect ratio; if False, the image is
            squashed.

    Returns:
        uint8 tensor (height, width, c).
    """
    scaled = to_size_exactly(image, height, width, interpolation, crop=crop)
    return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)


def to_size_exactly(image, height, width, interpolation="bilinear", *, crop=True):
    """Scale as `to_size` does, but to float32 without rounding."""
    if crop:
        image = _covering_part(image, height, width)
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == (height, width)),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, (height, width), interpolation, antialias=True),
    )


@contextlib.contextmanager
def naming_image(name):
    """Context manager: re-raise any error with an image as a DataError that names it.

    libjpeg's own messages are suppressed.
    """
    try:
        with standard_error_closed():
            yield
    except DataError:
        raise
    except RunError as error:  # which names the file
        raise DataError(str(error)) from error
    except Exception as error:  # Pillow's plugins raise any class for a damaged file
        damaged = isinstance(error, tf.errors.InvalidArgumentError)  # of TensorFlow's decoders
        text = "its data are truncated or damaged" if damaged else reason(error)
        raise DataError(f"cannot read the image {name}: {text}; remove or replace it") from error


@contextlib.contextmanager
def _opened(source, name):
    """Context manager: open a (Pillow image, file), reading only the header."""
    from PIL import Image

    if isinstance(source, bytes):
        file = io.BytesIO(source)
    else:
        require_regular(source)
        size = os.stat(source).st_size
        if size > LARGEST_FILE:
            raise DataError(f"{name} has {size:,} bytes, more than {LARGEST_FILE:,}; scale it down")
        file = open(source, "rb")  # noqa: SIM115
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LARGEST is our limit, and EXIF may be damaged
        brand = _brand(file)
        if brand == "HEIF":
            with contextlib.suppress(ImportError):
                import pillow_heif

                pillow_heif.register_heif_opener()
        Image.init()
        if brand and brand not in Image.OPEN:
            raise DataError(
                f"{name} is in the format {brand}, which Pillow cannot decode here: "
                f"{BRANDS[brand][1]}"
            )
        try:
            image = Image.open(file, formats=[form for form in FORMATS if form in Image.OPEN])
        except Image.UnidentifiedImageError as error:
            raise NoImage(f"{name} is not an image; remove or replace it") from error
        with image:
            width, height = image.size
            if width * height > LARGEST:
                raise DataError(f"{name} has {width}x{height} pixels; scale it down first")
            yield image, file


def _brand(file):
    """Return "AVIF" or "HEIF" for a file of one of these formats, otherwise None."""
    head = file.read(64)
    file.seek(0)
    if head[4:8] != b"ftyp":
        return None
    head = head[8 : int.from_bytes(head[:4], "big")]
    brands = [head[i : i + 4] for i in range(0, len(head), 4)]
    return next((name for name, (known, _) in BRANDS.items() if {*known} & {*brands}), None)


def _has_exif(file):
    """Check whether a PNG has EXIF or XMP data, before or after its pixels."""
    file.seek(8)  # after the signature
    found = False
    while not found and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        keyword = b""
        if kind in (b"iTXt", b"tEXt", b"zTXt"):
            keyword = file.read(min(length, 24))
        found = kind == b"eXIf" or keyword.startswith(PNG_EXIF)
        file.seek(length - len(keyword) + 4, os.SEEK_CUR)
    return found


def _orientation(image):
    """Return the EXIF orientation, 1 to 8; 1 if it is damaged or has another value."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow's parser raises any class
        found = 1
    return found if found in range(1, 9) else 1


def _is_deep_png(image, file):
    """Check whether a PNG has 16 bits, which Pillow reports only for gray ones."""
    if image.format != "PNG":
        return False
    file.seek(24)  # after the signature, the first chunk's length and kind, width and height
    return file.read(1) == b"\x10"


def _is_deep(image):
    """Check whether Pillow returns all 16 bits of an image."""
    return image.mode in DEEP or (image.format, image.mode) == ("PPM", "I")


def _require_known_depth(image, name):
    """Raise DataError for a gray TIFF of 9 to 15 bits, or of 16 bits where 0 is white."""
    bits, white_is_zero = image.tag_v2.get(258, (1,)), image.tag_v2.get(262) == 0
    if _is_deep(image) and (tuple(bits) != (16,) or white_is_zero):
        raise DataError(
            f"{name} is a TIFF of {bits[0]} bits{' where 0 is white' * white_is_zero}; save it as "
            "PNG with 8 bits"
        )


def _by_tensorflow(contents, orientation, channels):
    """Decode a plain JPEG or PNG and turn it upright; the pixels equal Pillow's."""
    image = tf.cond(
        tf.io.is_jpeg(contents),
        # The exact transform; pixels by the default one differ by up to 70.
        lambda: tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(contents, channels),
    )

    return _upright(image, orientation)


def _upright(image, orientation):
    """Turn pixels (h, w, c) upright, given their EXIF orientation."""

    def when(orientations, change, image):
        if not tf.is_tensor(orientation):
            return change(image) if orientation in orientations else image
        is_one = tf.reduce_any(orientation == tf.constant(orientations, orientation.dtype))
        return tf.cond(is_one, lambda: change(image), lambda: image)

    image = when((5, 6, 7, 8), lambda image: tf.transpose(image, [1, 0, 2]), image)
    image = when((2, 3, 6, 7), lambda image: tf.reverse(image, [1]), image)
    return when((3, 4, 7, 8), lambda image: tf.reverse(image, [0]), image)


def _by_pillow(contents, channels):
    if tf.executing_eagerly():
        return tf.constant(_pixels(contents.numpy(), channels))
    image = tf.numpy_function(lambda text: _pixels(text, channels), [contents], tf.uint8)
    return tf.ensure_shape(image, (None, None, channels))


def _pixels(contents, channels):
    """Decode the contents of a file by Pillow: (h, w, channels) uint8."""
    from PIL import Image

    with _opened(contents, "the image") as (image, file):
        image.load()  # turns a TIFF upright
        orientation = _orientation(image)
        if _is_deep(image):
            values = np.asarray(image).astype("uint16")
            upper = np.where(values == image.info.get("transparency"), 255, _upper_bytes(values))
            image = Image.fromarray(upper.astype("uint8"))
        elif _is_deep_png(image, file):
            if "transparency" in image.info:
                raise ValueError("one of its colors of 16 bits is transparent: save it with 8 bits")
            values = tf.io.decode_png(contents, dtype="uint16").numpy()
            image = Image.fromarray(_upper_bytes(values))
        if image.mode == "RGBa":
            image = image.convert("RGBA")
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if image.mode not in ("1", "L"):
            image = image.convert("RGB")  # L*a*b* does not convert to gray
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
        pixels = pixels.reshape(image.height, image.width, channels)
        return np.asarray(_upright(pixels, orientation))


def _upper_bytes(values):
    """Return the upper 8 of 16 bits. Raises ValueError if only the lower ones are used."""
    upper = (values >> 8).astype("uint8")
    if values.any() and not upper.any():
        raise ValueError(
            "all values of its 16 bits are below 256, which is black: save it with 8 bits"
        )
    return upper


def _covering_part(image, height, width):
    """Crop the largest centered part of the aspect ratio of height x width.

    This is done before scaling, so that a strip of 1x9999 pixels does not become 256x2559744.
    """
    given = tf.shape(image)[:2]
    sides = tf.cast(given, tf.float32)
    scale = tf.reduce_max([height / sides[0], width / sides[1]])
    part = tf.cast(tf.round([height / scale, width / scale]), tf.int32)
    part = tf.clip_by_value(part, 1, given)
    top, left = tf.unstack((given - part) // 2)
    return image[top : top + part[0], left : left + part[1]]
