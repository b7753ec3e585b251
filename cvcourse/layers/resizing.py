"""The layers with which a model of photos of any size begins: they resize and crop."""

from typing import Any

RESIZING = ("Resize", "Resizing", "Cropping2D", "CenterCrop")  # operations that keep raw pixels


def resized_pixels(model: Any) -> Any:
    """Find the resized pixels within a model of photos of any size.

    Args:
        model: keras.Model.

    Returns:
        The symbolic output (batch, h, w, c) of the last of the layers that resize and crop; None
        for a model of a fixed input size, or that does not begin with such layers.
    """
    pixels = None
    if None in model.input_shape[1:3]:
        for operation in getattr(model, "operations", ())[1:]:
            if type(operation).__name__ not in RESIZING:
                break
            pixels = operation.output
    return None if pixels is None or None in pixels.shape[1:] else pixels
