"""Preprocessing of photos for published weights: resize, crop, scale."""

from collections.abc import Sequence

import keras
from keras import layers, ops

from cvcourse.errors import pick
from cvcourse.models.pretrained.catalog import Published
from cvcourse.models.raw_images import convert_channels, prepend

# (mean, standard deviation) by which the training images were normalized, per channel of 0..255
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # of ImageNet, as torch has it
SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,) * 3, (1.0,) * 3),  # 0..255
    "torch": IMAGENET,
    "tf": ((127.5,) * 3, (127.5,) * 3),  # -1..1
    "unit": ((0.0,) * 3, (255.0,) * 3),  # 0..1
    "lite": ((127.0,) * 3, (128.0,) * 3),  # EfficientNet-Lite's
    "clip": (  # OpenAI's CLIP, github.com/openai/CLIP
        (122.7709383, 116.7460125, 104.09373615),
        (68.5005327, 66.6321579, 70.32316305),
    ),
    "caffe": ((123.68, 116.779, 103.939), (1.0,) * 3),  # and the channels in the order BGR
}


def preprocess(
    photos: keras.KerasTensor, published: Published, size: int | None = None
) -> keras.KerasTensor:
    """Apply the preprocessing of published weights to photos, in a functional model.

    The largest centered square is resized and its center cropped. Up to one pixel, this equals
    resizing the short side and cropping.

    Args:
        photos: Keras tensor of raw RGB photos (batch, any, any, 3), 0..255.
        published: The `Published` of the weights.
        size: Side of the result in pixels; the photo is resized in proportion. If None, the
            published size.

    Returns:
        Keras tensor (batch, size, size, 3), as the network takes it.

    >>> from cvcourse.models import pretrained
    >>> preprocess(keras.Input((None, None, 3)), pretrained.find("resnet18")).shape
    (None, 224, 224, 3)
    """
    size = size or published.size
    resize = resize_of(published, size)
    # Not Keras' layers: their call has training=True, which then holds for all following layers if
    # the model is called without `training`.
    x = ops.image.resize(
        photos,
        (resize, resize),
        interpolation=published.interpolation,
        antialias=True,
        crop_to_aspect_ratio=published.resize > 0,
        data_format="channels_last",
    )
    if resize > size:
        before = (resize - size) // 2
        margin = (before, resize - size - before)
        x = layers.Cropping2D(
            (margin, margin), data_format="channels_last", name="center_crop", dtype="float32"
        )(x)
    return scale(x, published)


def scale(pixels, published):
    """Scale raw RGB pixels, 0..255, to the range and channel order of published weights."""
    return scaled(pixels, published.scaling)


def scaled(pixels, scaling):
    """Scale raw pixels, 0..255, by a key of SCALINGS, without changing the shape.

    Raises:
        ValueError: If the pixels are gray and the scaling has a mean for each color.
    """
    if scaling == "none":
        return pixels
    mean, deviation = (values[: pixels.shape[-1]] for values in pick("scaling", scaling, SCALINGS))
    if len(mean) == 1 and len({*SCALINGS[scaling][0]}) > 1:
        raise ValueError(f"the scaling {scaling} is for RGB pixels, but the network takes gray")
    x = layers.Normalization(
        mean=mean,
        variance=[d**2 for d in deviation],
        dtype="float32",  # bfloat16 would round the pixels before the mean is subtracted
        name="normalization",
    )(pixels)
    return ops.flip(x, axis=-1) if scaling == "caffe" else x


def with_preprocessing(
    net: keras.Model,
    published: Published,
    shape: Sequence[int | None] = (None, None, 3),
) -> keras.Model:
    """Return a network with the preprocessing of its weights as its first layers.

    Args:
        net: A functional keras.Model of preprocessed pixels (batch, size, size, 3).
        published: The `Published` of its weights.
        shape: (height, width, channels) of the photos. Open sizes (None) take photos of any size,
            one size per batch; square photos of side `resize_of` are only cropped. Gray photos (1
            channel) are repeated into three.

    Returns:
        A keras.Model from raw photos (batch, *shape), 0..255, to net's output: one flat graph of
        copies of net's layers, so that `get_layer` finds each layer of net.

    Raises:
        ValueError: If net takes images that are not square, or has preprocessing already.

    >>> import numpy as np
    >>> image = keras.Input((224, 224, 3))
    >>> net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    >>> from cvcourse.models import pretrained
    >>> model = with_preprocessing(net, pretrained.find("resnet18"))
    >>> white = model(np.full((1, 300, 400, 3), 255.0))
    >>> [round(float(value), 2) for value in white[0]]
    [2.25, 2.43, 2.64]
    """
    if not isinstance(published, Published):
        raise ValueError(
            "published describes the weights, as pretrained.find(name) does; received "
            f"{published!r}"
        )
    if net.inputs[0].name == "photo":
        raise ValueError(f"{net.name} has preprocessing already")
    height, width, _ = net.input_shape[1:]
    if height != width:
        raise ValueError(
            f"preprocessing makes photos square, but {net.name} takes "
            f"input_shape={net.input_shape[1:]}: choose equal height and width, or leave out the "
            "preprocessing"
        )
    photo = keras.Input(shape, dtype="float32", name="photo")
    x = convert_channels(photo, 1, 3, "float32") if shape[-1] == 1 else photo
    return prepend(photo, preprocess(x, published, height), net)


def with_resizing(
    net: keras.Model,
    shape: Sequence[int | None] = (None, None, 3),
    *,
    size: Sequence[int | None] | None = None,
    scaling: str = "none",
) -> keras.Model:
    """Return a network that first resizes photos to its size and scales their pixels.

    Args:
        net: A functional keras.Model of images (batch, height, width, 1 or 3), of open or fixed
            size.
        shape: (height, width, channels) of the photos, 0..255; sizes may be open (None).
        size: (height, width) that photos are resized to. If None, the size of net.
        scaling: Key of SCALINGS; "none" leaves the pixels at 0..255.

    Returns:
        A keras.Model from photos (batch, *shape) to net's output: one flat graph of copies of net's
        layers. For a fixed size the largest centered part of the photo is resized (bilinear,
        antialiased), also if `shape` has that size: the layers may be called on photos of another
        size later. Gray and RGB are converted into each other.

    Raises:
        ValueError: If net takes gray pixels and `scaling` has a mean for each color, if the
            channels cannot be converted, or if `scaling` is unknown.

    >>> image = keras.Input((8, 8, 3))
    >>> net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    >>> with_resizing(net, scaling="unit").input_shape
    (None, None, None, 3)
    """
    *own, channels = net.input_shape[1:]
    size = size or own
    photo = keras.Input(shape, dtype="float32", name="photo")
    x = photo
    if shape[-1] != channels:
        x = convert_channels(photo, shape[-1], channels, "float32")
    if None not in size:
        x = ops.image.resize(
            x, size, antialias=True, crop_to_aspect_ratio=True, data_format="channels_last"
        )
    return prepend(photo, scaled(x, scaling), net)


def resize_of(published: Published, size: int | None = None) -> int:
    """Return the side to which `preprocess` resizes the square photo before the crop.

    Resizing does not change square photos of this side.

    Args:
        published: The `Published` of the weights.
        size: Side of the crop in pixels. If None, the published one.

    Returns:
        The side in pixels.

    >>> from cvcourse.models import pretrained
    >>> resize_of(pretrained.find("resnet18")), resize_of(pretrained.find("resnet18"), 112)
    (256, 128)
    """
    size = size or published.size
    return round(published.resize * size / published.size) or size
