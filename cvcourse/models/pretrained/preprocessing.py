"""What a photo goes through before a network with published weights: resize, crop, scale."""

import keras
from keras import layers, ops

from cvcourse.models.pretrained.catalog import Published
from cvcourse.models.raw_images import behind, convert_channels

# (mean, standard deviation) of the red, green and blue of 0..255 that the weights were trained on
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # of ImageNet, as torch has it
SCALINGS = {
    "none": ((0.0,) * 3, (1.0,) * 3),  # 0..255
    "torch": IMAGENET,
    "tf": ((127.5,) * 3, (127.5,) * 3),  # -1..1
    "unit": ((0.0,) * 3, (255.0,) * 3),  # 0..1
    "lite": ((127.0,) * 3, (128.0,) * 3),  # EfficientNet-Lite's
    "clip": (  # OpenAI's CLIP, github.com/openai/CLIP
        (122.7709383, 116.7460125, 104.09373615),
        (68.5005327, 66.6321579, 70.32316305),
    ),
    "caffe": ((123.68, 116.779, 103.939), (1.0,) * 3),  # and blue first
}


def preprocess(photos, published, size=None):
    """Raw RGB photos, 0..255, as the network takes them: layers called on a Keras tensor.

    The largest centered square is resized and its middle kept, which to within a pixel is what
    resizing the short side and cropping gives. Shapes: (batch, any, any, 3) -> (batch, size, size,
    3). `size` is the published one; for another the photo is resized in proportion.
    """
    size = size or published.size
    resize = resize_of(published, size)
    # Not Keras' layers for it: their call(training=True) puts all that follows in training mode
    # where a model is called without saying.
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
    """Raw RGB pixels, 0..255, in the range and the order of channels that the weights know."""
    return scaled(pixels, published.scaling)


def scaled(pixels, scaling):
    """Raw pixels, 0..255, scaled as a key of SCALINGS says: the same shape.

    Raises ValueError for gray pixels where the scaling has a mean for each color.
    """
    if scaling == "none":
        return pixels
    mean, deviation = (values[: pixels.shape[-1]] for values in SCALINGS[scaling])
    if len(mean) == 1 and len({*SCALINGS[scaling][0]}) > 1:
        raise ValueError(f"the scaling {scaling} is of RGB pixels, and the network takes gray")
    x = layers.Normalization(
        mean=mean,
        variance=[d**2 for d in deviation],
        dtype="float32",  # bfloat16 would round the pixels before the mean is taken off
        name="normalization",
    )(pixels)
    return ops.flip(x, axis=-1) if scaling == "caffe" else x


def with_preprocessing(
    net: keras.Model,
    published: Published,
    shape: tuple[int | None, int | None, int] = (None, None, 3),
) -> keras.Model:
    """Return a network with the preprocessing of its weights as its first layers.

    Args:
        net: A functional keras.Model of prepared pixels (batch, size, size, 3).
        published: The `Published` of its weights.
        shape: (height, width, channels) of the photos. Open sizes (None) take photos of any size,
            one size a batch; a fixed one of the published size is not resized. Gray photos (1
            channel) are repeated into three.

    Returns:
        A keras.Model from raw photos (batch, *shape), 0..255, to net's output: one flat graph of
        copies of net's layers, so that each tap of net is one of it too.

    Raises:
        ValueError: If net takes images that are not square.

    >>> net = keras.Sequential([keras.Input((224, 224, 3)), layers.GlobalAveragePooling2D()])
    >>> from cvcourse.models import pretrained
    >>> model = with_preprocessing(net, pretrained.find("resnet18"))
    >>> model.predict([[[[255.0, 255.0, 255.0]]]], verbose=0).round(2).tolist()
    [[2.25, 2.43, 2.64]]
    """
    height, width, _ = net.input_shape[1:]
    if height != width:
        raise ValueError(
            f"photos become squares, and {net.name} takes input_shape={net.input_shape[1:]}: give "
            "it a height and a width that are equal, or leave out the preprocessing"
        )
    photo = keras.Input(shape, dtype="float32", name="photo")
    x = convert_channels(photo, 1, 3, "float32") if shape[-1] == 1 else photo
    return behind(photo, preprocess(x, published, height), net)


def with_resizing(net, shape=(None, None, 3), *, size=None, scaling="none"):
    """Put a network that takes raw pixels behind what brings photos to its size.

    Args:
        net: A functional keras.Model of images (batch, height, width, 1 or 3), either size open or
            fixed.
        shape: (height, width, channels) of the photos, 0..255; sizes may be open (None).
        size: (height, width) that the photos are brought to; that of net if None.
        scaling: Key of SCALINGS that the pixels go through first; "none" leaves them at 0..255.

    Returns:
        A keras.Model from photos to net's output, one flat graph of copies of net's layers. For a
        fixed size the largest centered part of the photo is resized (bilinear, antialiased), also
        if `shape` has that size: the layers may be called on photos of another size later. Gray
        and RGB are converted into each other.

    Raises:
        ValueError: If net takes gray pixels and `scaling` has a mean for each color.
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
    return behind(photo, scaled(x, scaling), net)


def resize_of(published, size=None):
    """The side to which the square photo is resized before the crop: `preprocess` keeps such."""
    size = size or published.size
    return round(published.resize * size / published.size) or size
