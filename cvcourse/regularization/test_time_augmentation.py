"""Test-time augmentation: show a net several views of an image and average its answers.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012, https://papers.nips.cc/paper/4824, section 4.1. Passes: Graham, "Fractional Max-Pooling",
2014, https://arxiv.org/abs/1412.6071, section 3.

The models that these functions take give logits, alone or as a dict's `logits`; what comes out are
softmax probabilities.
"""

import keras
from keras import layers, ops


def flip_averaged(model):
    """A model that averages the probabilities of an image and of its mirror image.

    It shares the weights of `model`, and saves and loads as any other.
    Shapes: (batch, h, w, c) -> (batch, classes), float32.
    """
    image = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    return _averaged(model, image, [image], "flip_averaged")


def ten_crop(model, image_shape):
    """A model that averages over the corners, the center, and their mirror images.

    Each crop has the size of the images that `model` takes, whose weights are shared.
    Shapes: (batch, *image_shape) -> (batch, classes), float32. Raises ValueError for images that
    are smaller than a crop or have other channels.
    """
    *size, channels = model.input_shape[1:]
    image = keras.Input(image_shape, dtype=model.inputs[0].dtype, name="image")
    spare = [side - n for side, n in zip(image_shape, size, strict=False)]
    if min(spare) < 0 or image_shape[-1] != channels:
        raise ValueError(
            f"ten crops of {(*size, channels)} do not fit into images of {tuple(image_shape)}: "
            f"give an image_shape at least as large, with {channels} channels"
        )
    height, width = spare
    corners = [(top, left) for top in (0, height) for left in (0, width)]
    crops = [
        layers.Cropping2D(((top, height - top), (left, width - left)), data_format="channels_last")(
            image
        )
        for top, left in [*corners, (height // 2, width // 2)]
    ]
    return _averaged(model, image, crops, "ten_crop")


def averaged_passes(model, images, passes):
    """Probabilities averaged over `passes` draws of the regions of FractionalMaxPooling2D.

    Pass 0 is what the model gives by itself. Shapes: images (n, …) -> (n, classes), float32 NumPy.
    Raises ValueError for no passes, and where no layer has a `test_pass`: they would be alike.
    """
    counters = [v for v in model.non_trainable_variables if v.name == "test_pass"]
    if not counters or passes < 1:
        raise ValueError(
            f"an average needs 1 pass or more and a layer with a test_pass, as "
            f"FractionalMaxPooling2D has one; received {passes=} and {model.name} with "
            f"{len(counters)} such layers"
        )
    total = 0
    try:
        for number in range(passes):
            for counter in counters:
                counter.assign(number)
            total = total + _probabilities(model.predict(images, verbose=0))
    finally:
        for counter in counters:
            counter.assign(0)
    return ops.convert_to_numpy(total / passes)


def _averaged(model, image, views, name):
    """The model of `image` that averages over the views (batch, h, w, c) and their mirror images.

    `model` sees them as one large batch, so that it stands in the graph once.
    """
    views = [*views, *(ops.flip(view, axis=2) for view in views)]
    answers = _probabilities(model(ops.concatenate(views, axis=0)))
    answers = ops.reshape(answers, (len(views), -1, answers.shape[-1]))
    return keras.Model(image, ops.mean(answers, axis=0), name=f"{model.name}_{name}")


def _probabilities(outputs):
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    return ops.softmax(ops.cast(logits, "float32"))
