"""One photo from a file, upright and in plain RGB or gray, whatever form it was saved in."""

import contextlib
import warnings

import numpy as np

from cvcourse.data.dataset import DataError, reason

SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "F")  # Pillow's modes of more than 8 bits
LARGEST = 100_000_000  # pixels; a file may claim any number


@contextlib.contextmanager
def opened(path):
    """A file as a Pillow image, of which the header alone is read.

    Raises DataError for more than LARGEST pixels, and what Pillow raises.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGEST is our limit
        image = Image.open(path)
    with image:
        width, height = image.size
        if width * height > LARGEST:
            raise DataError(f"{path} has {width}x{height} pixels; scale it down first")
        yield image


def read_photo(path, channels=3):
    """The photo in a file: (h, w, channels) uint8, for 3 channels (RGB) or 1 (gray).

    Turned as its EXIF orientation says; 16-bit values are scaled to 0..255, and what is transparent
    shows white. Raises DataError, which names the file, for one that is missing or no image, and
    for more than LARGEST pixels.
    """
    from PIL import Image, ImageOps

    try:
        with opened(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode in SIXTEEN_BITS:
                values = np.asarray(image, "float64")
                scale = 255 / 65535 if values.max() > 255 else 1
                image = Image.fromarray(np.uint8(np.clip(values * scale, 0, 255).round()))
            elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    except DataError:
        raise
    except Exception as error:  # Pillow's plugins raise anything at a damaged file
        text = reason(error)
        raise DataError(
            f"{text if str(path) in text else f'{path} is no image that can be read: {text}'}"
        ) from error
    return pixels.reshape(*pixels.shape[:2], channels)
