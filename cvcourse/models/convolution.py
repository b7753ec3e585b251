"""Convolution, norm, activation and pooling, padded as published weights need it.

torch pads both sides equally; "same" pads the far side more. If both have the same result, as at
stride 1, "same" is used, which does not copy the map.
"""

from functools import partial

from keras import layers, ops

from cvcourse.layers import BatchNormalization, DepthwiseConv2D, GroupedConv2D

LOWEST = -6e4  # below any activation, for max pools; in the range of float16

# As in torchvision and EfficientNet. A config, since layers that share an initializer start equal.
HE_FAN_OUT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}

# name: pixels (before, after) of padding, for a window of k pixels and stride s
PADDINGS = {
    "symmetric": lambda k, s: (k // 2, k // 2),  # torch's padding=k//2
    "ceil": lambda k, s: (0, s - 1),  # torch's ceil_mode=True
    "far": lambda k, s: (0 if s > 1 else k // 2, k // 2),  # keras.applications' MobileNet
}


def padded(x, size, stride, padding, *, value=0.0, name):
    """Pad `x` if Keras cannot, and return (x, padding argument for the layer).

    `padding` is "same", "valid", a key of PADDINGS or a number of pixels. The map is padded with
    `value`, (batch, h, w, c) -> (batch, h', w', c), only if neither "same" nor "valid" has the same
    effect.
    """
    mode, widths = _mode_or_widths(x, size, stride, padding)
    if mode:
        return x, mode
    if value:
        return ops.pad(x, [(0, 0), *widths, (0, 0)], constant_values=value), "valid"
    return layers.ZeroPadding2D(widths, name=f"{name}_pad")(x), "valid"


def conv(x, filters, kernel_size, stride=1, *, groups=1, padding="symmetric", name, **settings):
    """Convolution, depthwise if each channel is a group: -> (batch, h', w', filters)."""
    settings |= dict(strides=stride, name=name)
    if 1 < groups == filters == x.shape[-1]:
        mode, widths = _mode_or_widths(x, kernel_size, stride, padding)
        layer = partial(layers.DepthwiseConv2D, padding=mode)
        if not mode:
            layer = partial(DepthwiseConv2D, pad=widths)
        # Keras' fan-in of a depthwise kernel counts all channels, its fan-out is the true one.
        settings |= dict(depthwise_initializer=HE_FAN_OUT)
        settings.pop("kernel_initializer", None)
        return layer(kernel_size, **settings)(x)
    x, padding = padded(x, kernel_size, stride, padding, name=name)
    settings |= dict(padding=padding)
    if groups > 1:
        return GroupedConv2D(filters, kernel_size, groups=groups, **settings)(x)
    return layers.Conv2D(filters, kernel_size, **settings)(x)


# Without bias, which batch norm would subtract. He et al. 2015 derive a variance; a uniform
# distribution is drawn four times as fast as a normal one.
he_conv = partial(conv, use_bias=False, kernel_initializer="he_uniform")


def round_channels(channels, divisor=8):
    """Return the multiple of `divisor` nearest to `channels`, at least 0.9 times `channels`.

    TF-slim's MobileNets round in this way after applying a width factor.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def batch_norm(x, *, momentum=0.9, epsilon=1e-5, name, **settings):
    """Batch normalization with torch's defaults, which are also those of He's Caffe release."""
    return BatchNormalization(momentum=momentum, epsilon=epsilon, name=name, **settings)(x)


def activate(x, activation, *, name):
    """Apply a named activation as a layer: "relu6", "silu", …; None returns `x`."""
    if activation is None:
        return x
    return layers.Activation(activation, name=name)(x)


def conv_bn(
    x,
    filters,
    kernel_size=1,
    stride=1,
    *,
    activation=None,
    norm={},  # noqa: B006  settings of batch_norm
    name,
    **settings,
):
    """Convolution `NAME_conv`, batch norm `NAME_bn` and activation `NAME`.

    `norm` has the settings of batch norm; None leaves out the norm, and `activation=None` the
    activation.
    """
    x = he_conv(x, filters, kernel_size, stride, name=f"{name}_conv", **settings)
    if norm is not None:
        x = batch_norm(x, name=f"{name}_bn", **norm)
    return activate(x, activation, name=name)


# For nets without batch norm.
conv_relu = partial(conv_bn, activation="relu", norm=None, use_bias=True)


def bn_relu(x, *, name, **norm):
    """Batch norm `NAME_bn` and ReLU `NAME`, the layers before a pre-activation convolution."""
    return activate(batch_norm(x, name=f"{name}_bn", **norm), "relu", name=name)


def max_pool(x, size, stride=None, *, padding="valid", name):
    """Max pooling: (batch, h, w, c) -> (batch, h', w', c)."""
    stride = stride or size
    x, padding = padded(x, size, stride, padding, value=LOWEST, name=name)
    return layers.MaxPooling2D(size, stride, padding=padding, name=name)(x)


def pooled_logits(x, num_classes, *, pooled_layer=None, dropout=0.0, **settings):
    """Global average pooling, dropout and a dense layer: (h, w, c) -> logits (num_classes,).

    `pooled_layer`, if given, comes after the pooling; `settings` are those of the dense layer.
    num_classes=None builds none of them and returns `x`.
    """
    if num_classes is None:
        return x
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if pooled_layer:
        x = pooled_layer(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(num_classes, dtype="float32", name="logits", **settings)(x)


def _mode_or_widths(x, size, stride, padding):
    """Return (Keras' mode that pads `x` this way, None), or (None, pixels of padding)."""
    if padding in ("same", "valid"):
        return padding, None
    sides = list(zip(x.shape[1:3], _pair(size), _pair(stride), strict=True))
    if isinstance(padding, int):
        widths = [(padding, padding)] * 2
    else:
        widths = [PADDINGS[padding](k, s) for _, k, s in sides]
    wanted = [_windows(n, k, s, *width) for (n, k, s), width in zip(sides, widths, strict=True)]
    for mode in ("valid", "same"):
        if wanted == [_keras_windows(n, k, s, mode) for n, k, s in sides]:
            return mode, None
    return None, widths


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _windows(n, k, s, before, after):
    """Return where the first window of `k` pixels begins, and the number of windows.

    For a side of unknown length, the negative padding after it stands for the number.
    """
    return -before, -after if n is None else (n + before + after - k) // s + 1


def _keras_windows(n, k, s, mode):
    """Return `_windows` of "valid" or "same"; None if "same" depends on an unknown side."""
    if mode == "valid":
        return _windows(n, k, s, 0, 0)
    if n is None:
        return _windows(n, k, s, k // 2, k // 2) if s == 1 and k % 2 else None
    windows = -(-n // s)
    return -(max((windows - 1) * s + k - n, 0) // 2), windows
