"""The functions of variants.py; written by `python -m cvcourse.models._stub`."""

# ruff: noqa
# fmt: off
import typing
from collections.abc import Callable, Sequence

import keras

__all__ = ['mlp', 'lenet_300_100', 'lenet5', 'lenet5_1998', 'lenet5_caffe', 'alexnet_2012', 'vgg11', 'vgg13', 'vgg16', 'vgg19', 'vgg11_bn', 'vgg13_bn', 'vgg16_bn', 'vgg19_bn', 'vgg16_cifar', 'nin_cifar', 'googlenet_2014', 'inception_v3', 'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152', 'plain18', 'plain34', 'resnet20', 'resnet32', 'resnet44', 'resnet56', 'resnet110', 'resnet1202', 'resnet110_stochastic_depth', 'resnet18_v2', 'resnet34_v2', 'resnet50_v2', 'resnet101_v2', 'resnet152_v2', 'preact_resnet110', 'preact_resnet164', 'preact_resnet1001', 'wide_resnet50_2', 'wide_resnet101_2', 'wrn_16_8', 'wrn_28_10', 'wrn_40_4', 'resnext50_32x4d', 'resnext101_32x8d', 'resnext101_64x4d', 'resnext29_8x64d', 'fractalnet20', 'fractalnet20_column', 'densenet121', 'densenet161', 'densenet169', 'densenet201', 'densenet40_12', 'densenet_bc100_12', 'densenet_bc190_40', 'se_resnet50', 'squeezenet1_0', 'squeezenet1_1', 'mobilenet_v3_large', 'mobilenet_v3_small', 'shufflenet_v1', 'shufflenet_v2_x0_5', 'shufflenet_v2_x1_0', 'shufflenet_v2_x1_5', 'shufflenet_v2_x2_0', 'nasnet_mobile', 'nasnet_large', 'nasnet_cifar', 'efficientnet_b0', 'efficientnet_b1', 'efficientnet_b2', 'efficientnet_b3', 'efficientnet_b4', 'efficientnet_b5', 'efficientnet_b6', 'efficientnet_b7', 'efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2', 'efficientnet_lite3', 'efficientnet_lite4', 'convnext_tiny', 'convnext_small', 'convnext_base', 'convnext_large', 'vit_b_16', 'vit_b_32', 'vit_l_16', 'vit_l_32', 'vit_h_14']


def mlp(*, hidden: Sequence[int] = (512, 256), dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build mlp, as `build('mlp', …)` does.

    Fully connected ReLU layers, then one score for each class.

    Initialization: He et al. 2015, eq. 10.

    Args:
        hidden: Units of each hidden layer; () is the linear classifier.
        dropout: Dropout rate after each hidden layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        output (hidden[-1],) of the last hidden layer; the flattened image if there is none.

    Raises:
        ValueError: If a hidden layer has less than 1 unit.
    """

def lenet_300_100(*, hidden: Sequence[int] = (300, 100), dropout: float = 0.0, input_shape: Sequence[int | None] = (28, 28, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet_300_100, as `build('lenet_300_100', …)` does.

    Fully connected ReLU layers, then one score for each class.

    Initialization: He et al. 2015, eq. 10.

    Args:
        hidden: Units of each hidden layer; () is the linear classifier.
        dropout: Dropout rate after each hidden layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        output (hidden[-1],) of the last hidden layer; the flattened image if there is none.

    Raises:
        ValueError: If a hidden layer has less than 1 unit.
    """

def lenet5(*, activation: str = 'tanh', dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet5, as `build('lenet5', …)` does.

    LeNet-5 (figure 2) as it is built today: 61,706 parameters.

    C3 takes all maps of S2, subsampling is plain averaging, and the output layer gives the logits
    of a softmax.

    Args:
        activation: Activation of the hidden layers.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is S4,
        (5, 5, 16) at the usual size.
    """

def lenet5_1998(*, output: str = 'rbf', dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet5_1998, as `build('lenet5_1998', …)` does.

    LeNet-5 (figure 2) as it was built in 1998: 60,000 parameters.

    C3 takes the maps of table I, and subsampling learns one coefficient and one bias for each map.

    Args:
        output: Output layer: "rbf", radial basis functions whose codes are not trained, or "dense".
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is S4,
        (5, 5, 16) at the usual size.

    Raises:
        ValueError: For an unknown output.
    """

def lenet5_caffe(*, dropout: float = 0.0, input_shape: Sequence[int | None] = (28, 28, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet5_caffe, as `build('lenet5_caffe', …)` does.

    LeNet-5 of the Caffe framework: 431,080 parameters.

    It is the "LeNet-5" of papers on pruning, such as Han et al. 2015 and 2016. Only `ip1` has an
    activation. Source: https://github.com/BVLC/caffe, examples/mnist/lenet_train_test.prototxt.

    Args:
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        the second pool, (4, 4, 50) at the usual size.
    """

def alexnet_2012(*, towers: int = 2, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (227, 227, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build alexnet_2012, as `build('alexnet_2012', …)` does.

    Five convolutions and three dense layers.

    Args:
        towers: 1 (torchvision) or 2 (the paper) groups of convolutions.
        width: Factor for the filters.
        hidden: Units of each hidden dense layer.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is (6,
        6, 256) at the usual size; the dense layers average other sizes to 6x6.

    Raises:
        ValueError: If `towers` is not 1 or 2.
    """

def vgg11(*, column: str = 'A', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg11, as `build('vgg11', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg13(*, column: str = 'B', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg13, as `build('vgg13', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg16(*, column: str = 'D', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg16, as `build('vgg16', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg19(*, column: str = 'E', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg19, as `build('vgg19', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg11_bn(*, column: str = 'A', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg11_bn, as `build('vgg11_bn', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg13_bn(*, column: str = 'B', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg13_bn, as `build('vgg13_bn', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg16_bn(*, column: str = 'D', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg16_bn, as `build('vgg16_bn', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg19_bn(*, column: str = 'E', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg19_bn, as `build('vgg19_bn', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def vgg16_cifar(*, column: str = 'D', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (), dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build vgg16_cifar, as `build('vgg16_cifar', …)` does.

    Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """

def nin_cifar(*, stages: str = 'cifar', width: float = 1.0, dropout: float = 0.5, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build nin_cifar, as `build('nin_cifar', …)` does.

    Stages of a convolution and 1x1 convolutions, and a last 1x1 convolution to class maps.

    Args:
        stages: Table of the stages: "imagenet" or "cifar".
        width: Factor for the filters.
        dropout: Dropout rate after pools.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        input of the last convolution; the logits are the means of its maps, after a ReLU.

    Raises:
        ValueError: For unknown stages.
    """

def googlenet_2014(*, form: str = 'paper', modules: Sequence[str] = ..., aux: bool = False, width: float = 1.0, dropout: float = 0.4, aux_dropout: float = 0.7, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build googlenet_2014, as `build('googlenet_2014', …)` does.

    A stem and Inception modules.

    Args:
        form: "slim" has batch norm, and 3x3 kernels in place of 5x5; "paper" has local response
            norm.
        modules: Names of the modules and pools of table 1, in order.
        aux: Whether the net has auxiliary classifiers (section 5).
        width: Factor for the filters.
        dropout: Dropout rate before the logits.
        aux_dropout: Dropout rate before the auxiliary logits, if `dropout` is not 0.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes), or with `aux` ->
        a dict of logits, aux_logits1 and aux_logits2. `features` is (h/32, w/32, 1024).

    Raises:
        ValueError: For an unknown form or module.
    """

def inception_v3(*, modules: Sequence[str] = ..., aux: bool = False, width: float = 1.0, scale: bool = True, count_include_pad: bool = True, dropout: float = 0.5, input_shape: Sequence[int | None] = (299, 299, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build inception_v3, as `build('inception_v3', …)` does.

    A stem and Inception modules with factored kernels.

    Args:
        modules: Names of the modules, in order.
        aux: Whether the net has an auxiliary classifier, after mixed_6e.
        width: Factor for the filters.
        scale: Whether batch norm has a scale; sources of weights differ.
        count_include_pad: Whether mean pools at the border count the zeros around the map; sources
            of weights differ.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes), or with `aux` ->
        a dict of logits and aux_logits. `features` is (8, 8, 2048) at the usual size.

    Raises:
        ValueError: For an unknown module.
    """

def resnet18(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet18, as `build('resnet18', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnet34(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet34, as `build('resnet34', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnet50(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet50, as `build('resnet50', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnet101(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet101, as `build('resnet101', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnet152(*, depths: Sequence[int] = (3, 8, 36, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet152, as `build('resnet152', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def plain18(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = False, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build plain18, as `build('plain18', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def plain34(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = False, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build plain34, as `build('plain34', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnet20(*, depth: int = 20, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet20, as `build('resnet20', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet32(*, depth: int = 32, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet32, as `build('resnet32', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet44(*, depth: int = 44, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet44, as `build('resnet44', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet56(*, depth: int = 56, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet56, as `build('resnet56', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet110(*, depth: int = 110, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet110, as `build('resnet110', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet1202(*, depth: int = 1202, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet1202, as `build('resnet1202', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet110_stochastic_depth(*, depth: int = 110, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 0.5, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet110_stochastic_depth, as `build('resnet110_stochastic_depth', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """

def resnet18_v2(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet18_v2, as `build('resnet18_v2', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def resnet34_v2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet34_v2, as `build('resnet34_v2', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def resnet50_v2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet50_v2, as `build('resnet50_v2', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def resnet101_v2(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet101_v2, as `build('resnet101_v2', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def resnet152_v2(*, depths: Sequence[int] = (3, 8, 36, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet152_v2, as `build('resnet152_v2', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def preact_resnet110(*, depths: Sequence[int] = (18, 18, 18), block: str = 'basic', stem: str = '3x3', width: int = 16, shortcut: str = 'A', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet110, as `build('preact_resnet110', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def preact_resnet164(*, depths: Sequence[int] = (18, 18, 18), block: str = 'bottleneck', stem: str = '3x3', width: int = 16, shortcut: str = 'B', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet164, as `build('preact_resnet164', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def preact_resnet1001(*, depths: Sequence[int] = (111, 111, 111), block: str = 'bottleneck', stem: str = '3x3', width: int = 16, shortcut: str = 'B', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet1001, as `build('preact_resnet1001', …)` does.

    A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """

def wide_resnet50_2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 128, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build wide_resnet50_2, as `build('wide_resnet50_2', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def wide_resnet101_2(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 128, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build wide_resnet101_2, as `build('wide_resnet101_2', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def wrn_16_8(*, depth: int = 16, width: int = 8, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_16_8, as `build('wrn_16_8', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Args:
        depth: Number of layers: 6n + 4.
        width: Factor for the filters.
        dropout: Dropout rate inside the blocks; 0.3 in the paper, where it is used.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64 * width).

    Raises:
        ValueError: If depth is not 6n + 4.
    """

def wrn_28_10(*, depth: int = 28, width: int = 10, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_28_10, as `build('wrn_28_10', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Args:
        depth: Number of layers: 6n + 4.
        width: Factor for the filters.
        dropout: Dropout rate inside the blocks; 0.3 in the paper, where it is used.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64 * width).

    Raises:
        ValueError: If depth is not 6n + 4.
    """

def wrn_40_4(*, depth: int = 40, width: int = 4, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_40_4, as `build('wrn_40_4', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Args:
        depth: Number of layers: 6n + 4.
        width: Factor for the filters.
        dropout: Dropout rate inside the blocks; 0.3 in the paper, where it is used.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64 * width).

    Raises:
        ValueError: If depth is not 6n + 4.
    """

def resnext50_32x4d(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 32, width_per_group: int = 4, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext50_32x4d, as `build('resnext50_32x4d', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnext101_32x8d(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 32, width_per_group: int = 8, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext101_32x8d, as `build('resnext101_32x8d', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnext101_64x4d(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 64, width_per_group: int = 4, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext101_64x4d, as `build('resnext101_64x4d', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def resnext29_8x64d(*, depths: Sequence[int] = (3, 3, 3), block: str = 'bottleneck', stem: str = '3x3', stride_in: str = '3x3', groups: int = 8, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnext29_8x64d, as `build('resnext29_8x64d', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def fractalnet20(*, filters: Sequence[int] = (64, 128, 256, 512, 512), columns: int = 3, column: int | None = None, drop_path: float = 0.15, global_share: float = 0.5, dropout: float = 0.4, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build fractalnet20, as `build('fractalnet20', …)` does.

    Five fractal blocks, each with a 2x2 max pool at its end.

    The paper reports 38.6M parameters for 20 layers. The widths that it states, with biases in the
    convolutions and norms that scale and shift, as in the authors' code, result in the 33,734,922
    built here. It would be 38.5M if the first convolution of each column had as many input as
    output channels.

    Args:
        filters: Filters of each block.
        columns: Number of columns.
        column: Number of the one column to build, from 1 (the shallowest) to `columns`; its layers
            have the same names as in the whole net, for copying weights. None builds all.
        drop_path: Rate at which a join drops each of its paths in training; 0 for no drop-path.
        global_share: Fraction of the batches for which all columns but one are dropped instead.
        dropout: Dropout rate inside the last block; it grows linearly from 0 at the first block.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: If `column` is not one of the columns.
    """

def fractalnet20_column(*, filters: Sequence[int] = (64, 128, 256, 512, 512), columns: int = 3, column: int | None = 3, drop_path: float = 0.15, global_share: float = 0.5, dropout: float = 0.4, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build fractalnet20_column, as `build('fractalnet20_column', …)` does.

    Five fractal blocks, each with a 2x2 max pool at its end.

    The paper reports 38.6M parameters for 20 layers. The widths that it states, with biases in the
    convolutions and norms that scale and shift, as in the authors' code, result in the 33,734,922
    built here. It would be 38.5M if the first convolution of each column had as many input as
    output channels.

    Args:
        filters: Filters of each block.
        columns: Number of columns.
        column: Number of the one column to build, from 1 (the shallowest) to `columns`; its layers
            have the same names as in the whole net, for copying weights. None builds all.
        drop_path: Rate at which a join drops each of its paths in training; 0 for no drop-path.
        global_share: Fraction of the batches for which all columns but one are dropped instead.
        dropout: Dropout rate inside the last block; it grows linearly from 0 at the first block.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: If `column` is not one of the columns.
    """

def densenet121(*, depths: Sequence[int] = (6, 12, 24, 16), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet121, as `build('densenet121', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet161(*, depths: Sequence[int] = (6, 12, 36, 24), growth_rate: int = 48, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet161, as `build('densenet161', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet169(*, depths: Sequence[int] = (6, 12, 32, 32), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet169, as `build('densenet169', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet201(*, depths: Sequence[int] = (6, 12, 48, 32), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet201, as `build('densenet201', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet40_12(*, depths: Sequence[int] = (12, 12, 12), growth_rate: int = 12, bottleneck: bool = False, compression: float = 1.0, stem: str = '3x3', stem_width: int | None = 16, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet40_12, as `build('densenet40_12', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet_bc100_12(*, depths: Sequence[int] = (16, 16, 16), growth_rate: int = 12, bottleneck: bool = True, compression: float = 0.5, stem: str = '3x3', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet_bc100_12, as `build('densenet_bc100_12', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def densenet_bc190_40(*, depths: Sequence[int] = (31, 31, 31), growth_rate: int = 40, bottleneck: bool = True, compression: float = 0.5, stem: str = '3x3', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet_bc190_40, as `build('densenet_bc190_40', …)` does.

    A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """

def se_resnet50(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = ..., shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build se_resnet50, as `build('se_resnet50', …)` does.

    A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """

def squeezenet1_0(*, filters: int = 96, kernel_size: int = 7, pools: Sequence[int] = (5, 9), squeeze: Sequence[int] = (16, 16, 32, 32, 48, 48, 64, 64), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build squeezenet1_0, as `build('squeezenet1_0', …)` does.

    A convolution, fire modules, and a last 1x1 convolution to class maps.

    Args:
        filters: Filters of the first convolution.
        kernel_size: Side of its kernel.
        pools: Numbers of the fire modules that a max pool precedes; the first module has number 2.
        squeeze: Filters of each fire module's first 1x1 convolution.
        dropout: Dropout rate after the fire modules.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        input of the last convolution; the logits are its maps' means after a ReLU.
    """

def squeezenet1_1(*, filters: int = 64, kernel_size: int = 3, pools: Sequence[int] = (4, 6), squeeze: Sequence[int] = (16, 16, 32, 32, 48, 48, 64, 64), dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build squeezenet1_1, as `build('squeezenet1_1', …)` does.

    A convolution, fire modules, and a last 1x1 convolution to class maps.

    Args:
        filters: Filters of the first convolution.
        kernel_size: Side of its kernel.
        pools: Numbers of the fire modules that a max pool precedes; the first module has number 2.
        squeeze: Filters of each fire module's first 1x1 convolution.
        dropout: Dropout rate after the fire modules.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        input of the last convolution; the logits are its maps' means after a ReLU.
    """

def mobilenet_v3_large(*, stages: Sequence[tuple[typing.Any, ...]] = ..., hidden: int = 1280, width: float = 1.0, minimal: bool = False, padding: str = 'symmetric', epsilon: float = 0.001, dropout: float = 0.2, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build mobilenet_v3_large, as `build('mobilenet_v3_large', …)` does.

    A 3x3 stem, stages of inverted residual blocks, a 1x1 convolution and a dense layer.

    Args:
        stages: Rows of blocks, as in LARGE and SMALL.
        hidden: Units of the dense layer before the logits.
        width: Factor for the filters, but not for `hidden`.
        minimal: Whether to leave out squeeze-excite, 5x5 kernels and hard-swish.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 6 times the last stage's filters).
    """

def mobilenet_v3_small(*, stages: Sequence[tuple[typing.Any, ...]] = ..., hidden: int = 1024, width: float = 1.0, minimal: bool = False, padding: str = 'symmetric', epsilon: float = 0.001, dropout: float = 0.2, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build mobilenet_v3_small, as `build('mobilenet_v3_small', …)` does.

    A 3x3 stem, stages of inverted residual blocks, a 1x1 convolution and a dense layer.

    Args:
        stages: Rows of blocks, as in LARGE and SMALL.
        hidden: Units of the dense layer before the logits.
        width: Factor for the filters, but not for `hidden`.
        minimal: Whether to leave out squeeze-excite, 5x5 kernels and hard-swish.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 6 times the last stage's filters).
    """

def shufflenet_v1(*, groups: int = 3, width: float = 1.0, stem: int = 24, depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v1, as `build('shufflenet_v1', …)` does.

    A stem and stages 2 to 4; each stage halves the map and doubles the width.

    Args:
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8; more groups allow more channels at
            the same cost.
        width: Factor for the stages' filters.
        stem: Filters of the stem; the authors' code has 12 at width 0.5, and 48 at 2.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 960) with three groups.

    Raises:
        ValueError: If `groups` is not one of these numbers.
    """

def shufflenet_v2_x0_5(*, filters: Sequence[int] = (48, 96, 192, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x0_5, as `build('shufflenet_v2_x0_5', …)` does.

    A stem, stages 2 to 4, each of which halves the map, and a 1x1 convolution.

    Args:
        filters: Filters of the three stages and of the last convolution.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, filters[-1]).
    """

def shufflenet_v2_x1_0(*, filters: Sequence[int] = (116, 232, 464, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x1_0, as `build('shufflenet_v2_x1_0', …)` does.

    A stem, stages 2 to 4, each of which halves the map, and a 1x1 convolution.

    Args:
        filters: Filters of the three stages and of the last convolution.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, filters[-1]).
    """

def shufflenet_v2_x1_5(*, filters: Sequence[int] = (176, 352, 704, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x1_5, as `build('shufflenet_v2_x1_5', …)` does.

    A stem, stages 2 to 4, each of which halves the map, and a 1x1 convolution.

    Args:
        filters: Filters of the three stages and of the last convolution.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, filters[-1]).
    """

def shufflenet_v2_x2_0(*, filters: Sequence[int] = (244, 488, 976, 2048), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x2_0, as `build('shufflenet_v2_x2_0', …)` does.

    A stem, stages 2 to 4, each of which halves the map, and a 1x1 convolution.

    Args:
        filters: Filters of the three stages and of the last convolution.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, filters[-1]).
    """

def nasnet_mobile(*, repeats: int = 4, penultimate_filters: int = 1056, stem: str = 'imagenet', stem_filters: int = 32, skip_reduction_input: bool = False, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.0, drop_path_steps: int = 250000, momentum: float = 0.9997, epsilon: float = 0.001, dropout: float = 0.5, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build nasnet_mobile, as `build('nasnet_mobile', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Args:
        repeats: Number of normal cells of each stage, the paper's N.
        penultimate_filters: Channels of the last map, the paper's P, a multiple of 24.
        stem: "imagenet", with two reduction cells, or "cifar".
        stem_filters: Filters of the first convolution.
        skip_reduction_input: Whether the cell after a reduction takes, as its second input, the map
            before the reduction's input instead of that input.
        zero_padded_pools: Strided pools ("avg", "max") that count zeros around the map, as in Keras
            and timm; none do in the release.
        drop_path: Rate at which the last cell's operations are dropped in training, for each image.
            It grows linearly with the cell's depth and over `drop_path_steps` (ScheduledDropPath:
            section 4 and appendix A.5).
        drop_path_steps: Training steps over which `drop_path` grows from 0; the whole training in
            the release.
        momentum: Momentum of batch norm.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, P), or (h/4, w/4, P) with the "cifar" stem.

    Raises:
        ValueError: If P is not a multiple of 24, for an unknown stem, or for `zero_padded_pools`
            without a height and a width.
    """

def nasnet_large(*, repeats: int = 6, penultimate_filters: int = 4032, stem: str = 'imagenet', stem_filters: int = 96, skip_reduction_input: bool = True, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.3, drop_path_steps: int = 250000, momentum: float = 0.9997, epsilon: float = 0.001, dropout: float = 0.5, input_shape: Sequence[int | None] = (331, 331, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build nasnet_large, as `build('nasnet_large', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Args:
        repeats: Number of normal cells of each stage, the paper's N.
        penultimate_filters: Channels of the last map, the paper's P, a multiple of 24.
        stem: "imagenet", with two reduction cells, or "cifar".
        stem_filters: Filters of the first convolution.
        skip_reduction_input: Whether the cell after a reduction takes, as its second input, the map
            before the reduction's input instead of that input.
        zero_padded_pools: Strided pools ("avg", "max") that count zeros around the map, as in Keras
            and timm; none do in the release.
        drop_path: Rate at which the last cell's operations are dropped in training, for each image.
            It grows linearly with the cell's depth and over `drop_path_steps` (ScheduledDropPath:
            section 4 and appendix A.5).
        drop_path_steps: Training steps over which `drop_path` grows from 0; the whole training in
            the release.
        momentum: Momentum of batch norm.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, P), or (h/4, w/4, P) with the "cifar" stem.

    Raises:
        ValueError: If P is not a multiple of 24, for an unknown stem, or for `zero_padded_pools`
            without a height and a width.
    """

def nasnet_cifar(*, repeats: int = 6, penultimate_filters: int = 768, stem: str = 'cifar', stem_filters: int = 96, skip_reduction_input: bool = False, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.4, drop_path_steps: int = 937500, momentum: float = 0.9, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: Sequence[int | None] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build nasnet_cifar, as `build('nasnet_cifar', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Args:
        repeats: Number of normal cells of each stage, the paper's N.
        penultimate_filters: Channels of the last map, the paper's P, a multiple of 24.
        stem: "imagenet", with two reduction cells, or "cifar".
        stem_filters: Filters of the first convolution.
        skip_reduction_input: Whether the cell after a reduction takes, as its second input, the map
            before the reduction's input instead of that input.
        zero_padded_pools: Strided pools ("avg", "max") that count zeros around the map, as in Keras
            and timm; none do in the release.
        drop_path: Rate at which the last cell's operations are dropped in training, for each image.
            It grows linearly with the cell's depth and over `drop_path_steps` (ScheduledDropPath:
            section 4 and appendix A.5).
        drop_path_steps: Training steps over which `drop_path` grows from 0; the whole training in
            the release.
        momentum: Momentum of batch norm.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, P), or (h/4, w/4, P) with the "cifar" stem.

    Raises:
        ValueError: If P is not a multiple of 24, for an unknown stem, or for `zero_padded_pools`
            without a height and a width.
    """

def efficientnet_b0(*, width: float = 1.0, depth: float = 1.0, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b0, as `build('efficientnet_b0', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b1(*, width: float = 1.0, depth: float = 1.1, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: Sequence[int | None] = (240, 240, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b1, as `build('efficientnet_b1', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b2(*, width: float = 1.1, depth: float = 1.2, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: Sequence[int | None] = (260, 260, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b2, as `build('efficientnet_b2', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b3(*, width: float = 1.2, depth: float = 1.4, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: Sequence[int | None] = (300, 300, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b3, as `build('efficientnet_b3', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b4(*, width: float = 1.4, depth: float = 1.8, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.4, input_shape: Sequence[int | None] = (380, 380, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b4, as `build('efficientnet_b4', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b5(*, width: float = 1.6, depth: float = 2.2, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.4, input_shape: Sequence[int | None] = (456, 456, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b5, as `build('efficientnet_b5', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b6(*, width: float = 1.8, depth: float = 2.6, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.5, input_shape: Sequence[int | None] = (528, 528, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b6, as `build('efficientnet_b6', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_b7(*, width: float = 2.0, depth: float = 3.1, fixed_ends: bool = False, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.5, input_shape: Sequence[int | None] = (600, 600, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b7, as `build('efficientnet_b7', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_lite0(*, width: float = 1.0, depth: float = 1.0, fixed_ends: bool = True, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite0, as `build('efficientnet_lite0', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_lite1(*, width: float = 1.0, depth: float = 1.1, fixed_ends: bool = True, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: Sequence[int | None] = (240, 240, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite1, as `build('efficientnet_lite1', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_lite2(*, width: float = 1.1, depth: float = 1.2, fixed_ends: bool = True, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: Sequence[int | None] = (260, 260, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite2, as `build('efficientnet_lite2', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_lite3(*, width: float = 1.2, depth: float = 1.4, fixed_ends: bool = True, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: Sequence[int | None] = (280, 280, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite3, as `build('efficientnet_lite3', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def efficientnet_lite4(*, width: float = 1.4, depth: float = 1.8, fixed_ends: bool = True, stages: Sequence[tuple[typing.Any, ...]] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: Sequence[int | None] = (300, 300, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite4, as `build('efficientnet_lite4', …)` does.

    A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """

def convnext_tiny(*, depths: Sequence[int] = (3, 3, 9, 3), widths: Sequence[int] = (96, 192, 384, 768), drop_path: float = 0.1, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_tiny, as `build('convnext_tiny', …)` does.

    A stem of 4x4 patches and stages of blocks; each stage but the first halves the map.

    Args:
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        drop_path: Rate at which training drops the last block's residual path; the rate grows
            linearly from 0 at the first block.
        layer_scale: Initial factor of each block's output.
        epsilon: Epsilon of layer normalization.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, widths[-1]), before the norm, which comes after pooling.
    """

def convnext_small(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (96, 192, 384, 768), drop_path: float = 0.4, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_small, as `build('convnext_small', …)` does.

    A stem of 4x4 patches and stages of blocks; each stage but the first halves the map.

    Args:
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        drop_path: Rate at which training drops the last block's residual path; the rate grows
            linearly from 0 at the first block.
        layer_scale: Initial factor of each block's output.
        epsilon: Epsilon of layer normalization.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, widths[-1]), before the norm, which comes after pooling.
    """

def convnext_base(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (128, 256, 512, 1024), drop_path: float = 0.5, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_base, as `build('convnext_base', …)` does.

    A stem of 4x4 patches and stages of blocks; each stage but the first halves the map.

    Args:
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        drop_path: Rate at which training drops the last block's residual path; the rate grows
            linearly from 0 at the first block.
        layer_scale: Initial factor of each block's output.
        epsilon: Epsilon of layer normalization.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, widths[-1]), before the norm, which comes after pooling.
    """

def convnext_large(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (192, 384, 768, 1536), drop_path: float = 0.5, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_large, as `build('convnext_large', …)` does.

    A stem of 4x4 patches and stages of blocks; each stage but the first halves the map.

    Args:
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        drop_path: Rate at which training drops the last block's residual path; the rate grows
            linearly from 0 at the first block.
        layer_scale: Initial factor of each block's output.
        epsilon: Epsilon of layer normalization.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, widths[-1]), before the norm, which comes after pooling.
    """

def vit_b_16(*, patch: int = 16, hidden_dim: int = 768, depth: int = 12, num_heads: int = 12, mlp_dim: int = 3072, dropout: float = 0.1, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_b_16, as `build('vit_b_16', …)` does.

    A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """

def vit_b_32(*, patch: int = 32, hidden_dim: int = 768, depth: int = 12, num_heads: int = 12, mlp_dim: int = 3072, dropout: float = 0.1, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_b_32, as `build('vit_b_32', …)` does.

    A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """

def vit_l_16(*, patch: int = 16, hidden_dim: int = 1024, depth: int = 24, num_heads: int = 16, mlp_dim: int = 4096, dropout: float = 0.1, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_l_16, as `build('vit_l_16', …)` does.

    A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """

def vit_l_32(*, patch: int = 32, hidden_dim: int = 1024, depth: int = 24, num_heads: int = 16, mlp_dim: int = 4096, dropout: float = 0.1, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_l_32, as `build('vit_l_32', …)` does.

    A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """

def vit_h_14(*, patch: int = 14, hidden_dim: int = 1280, depth: int = 32, num_heads: int = 16, mlp_dim: int = 5120, dropout: float = 0.1, input_shape: Sequence[int | None] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_h_14, as `build('vit_h_14', …)` does.

    A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """
