"""The functions of variants.py; written by `python -m cvcourse.models._stub`."""

# ruff: noqa
# fmt: off
import typing
from collections.abc import Callable, Sequence

import keras

__all__ = ['mlp', 'lenet5', 'lenet5_1998', 'alexnet_2012', 'vgg11', 'vgg13', 'vgg16', 'vgg19', 'vgg11_bn', 'vgg13_bn', 'vgg16_bn', 'vgg19_bn', 'vgg16_cifar', 'nin_cifar', 'googlenet_2014', 'inception_v3', 'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152', 'plain18', 'plain34', 'resnet20', 'resnet32', 'resnet44', 'resnet56', 'resnet110', 'resnet1202', 'resnet110_stochastic_depth', 'resnet18_v2', 'resnet34_v2', 'resnet50_v2', 'resnet101_v2', 'resnet152_v2', 'preact_resnet110', 'preact_resnet164', 'preact_resnet1001', 'wide_resnet50_2', 'wide_resnet101_2', 'wrn_16_8', 'wrn_28_10', 'wrn_40_4', 'resnext50_32x4d', 'resnext101_32x8d', 'resnext101_64x4d', 'resnext29_8x64d', 'fractalnet20', 'fractalnet20_column', 'densenet121', 'densenet161', 'densenet169', 'densenet201', 'densenet40_12', 'densenet_bc100_12', 'densenet_bc190_40', 'se_resnet50', 'squeezenet1_0', 'squeezenet1_1', 'mobilenet_v3_large', 'mobilenet_v3_small', 'shufflenet_v1', 'shufflenet_v2_x0_5', 'shufflenet_v2_x1_0', 'shufflenet_v2_x1_5', 'shufflenet_v2_x2_0', 'nasnet_mobile', 'nasnet_large', 'nasnet_cifar', 'efficientnet_b0', 'efficientnet_b1', 'efficientnet_b2', 'efficientnet_b3', 'efficientnet_b4', 'efficientnet_b5', 'efficientnet_b6', 'efficientnet_b7', 'efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2', 'efficientnet_lite3', 'efficientnet_lite4', 'convnext_tiny', 'convnext_small', 'convnext_base', 'convnext_large', 'vit_b_16', 'vit_b_32', 'vit_l_16', 'vit_l_32', 'vit_h_14']


def mlp(*, hidden: Sequence[int] = (512, 256), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build mlp, as `build('mlp', …)` does.

    Fully connected ReLU layers of `hidden` units each, then one score a class.

    Shapes: (batch, h, w, c) -> (batch, num_classes). `dropout` is the rate after each hidden layer.
    He initialization, as the ReLUs want it (He et al. 2015, eq. 10).
    """

def lenet5(*, activation: str = 'tanh', dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet5, as `build('lenet5', …)` does.

    Figure 2 of the paper as it is built today, 61,706 parameters.

    C3 sees all of S2's maps, subsampling is plain averaging, and the output layer is a softmax's.
    Shapes: (batch, 32, 32, 1) -> (batch, num_classes). `dropout` is the rate before the logits.
    """

def lenet5_1998(*, output: str = 'rbf', dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 1), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build lenet5_1998, as `build('lenet5_1998', …)` does.

    Figure 2 of the paper as it was built in 1998, 60,000 parameters.

    C3 sees the maps of table I, subsampling learns a coefficient and a bias a map. `output` is
    "rbf", whose codes do not train, or "dense". Shapes: (batch, 32, 32, 1) -> (batch, num_classes).
    `dropout` is the rate before the logits.
    """

def alexnet_2012(*, towers: int = 2, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (227, 227, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build alexnet_2012, as `build('alexnet_2012', …)` does.

    1 or 2 `towers` of convolutions, `width` times as wide, and dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (6, 6, 256) at the usual size,
    and is averaged to 6x6 at others. `dropout` is the rate after each hidden layer.
    """

def vgg11(*, column: str = 'A', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg11, as `build('vgg11', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg13(*, column: str = 'B', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg13, as `build('vgg13', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg16(*, column: str = 'D', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg16, as `build('vgg16', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg19(*, column: str = 'E', batch_norm: bool = False, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg19, as `build('vgg19', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg11_bn(*, column: str = 'A', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg11_bn, as `build('vgg11_bn', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg13_bn(*, column: str = 'B', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg13_bn, as `build('vgg13_bn', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg16_bn(*, column: str = 'D', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg16_bn, as `build('vgg16_bn', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg19_bn(*, column: str = 'E', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vgg19_bn, as `build('vgg19_bn', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def vgg16_cifar(*, column: str = 'D', batch_norm: bool = True, width: float = 1.0, hidden: Sequence[int] = (), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build vgg16_cifar, as `build('vgg16_cifar', …)` does.

    A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
    """

def nin_cifar(*, stages: str = 'cifar', width: float = 1.0, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build nin_cifar, as `build('nin_cifar', …)` does.

    The `stages` for "imagenet" or "cifar", `width` times as wide, and a convolution to classes.

    Shapes: (batch, h, w, c) -> (batch, num_classes), its maps' means; `features` is what that
    convolution sees. `dropout` is the rate behind pools.
    """

def googlenet_2014(*, form: str = 'paper', modules: Sequence[str] = ..., aux: bool = False, width: float = 1.0, dropout: float = 0.4, aux_dropout: float = 0.7, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build googlenet_2014, as `build('googlenet_2014', …)` does.

    A stem and the `modules` of table 1, `width` times as wide, in one of FORMS.

    "slim" has batch norm, and 3x3 kernels in the 5x5's place; "paper" has neither, but local
    response norm. Shapes: (batch, h, w, c) -> (batch, num_classes), or with `aux` a dict of that
    as logits, and aux_logits1 and aux_logits2; `features` is (h/32, w/32, 1024). `dropout` is the
    rate before the logits, `aux_dropout` before the others unless `dropout` is 0.
    """

def inception_v3(*, modules: Sequence[str] = ..., aux: bool = False, width: float = 1.0, scale: bool = True, count_include_pad: bool = True, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (299, 299, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build inception_v3, as `build('inception_v3', …)` does.

    A stem and the `modules`, `width` times as wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes), or with `aux` a dict of that as logits, and
    aux_logits; `features` is (8, 8, 2048) at the usual size. Sources differ in whether batch norm
    has a factor, `scale`, and whether means at the border count the zeros beyond it,
    `count_include_pad`. `dropout` is the rate before the logits.
    """

def resnet18(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet18, as `build('resnet18', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnet34(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet34, as `build('resnet34', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnet50(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet50, as `build('resnet50', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnet101(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet101, as `build('resnet101', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnet152(*, depths: Sequence[int] = (3, 8, 36, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet152, as `build('resnet152', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def plain18(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = False, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build plain18, as `build('plain18', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def plain34(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = False, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build plain34, as `build('plain34', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnet20(*, depth: int = 20, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet20, as `build('resnet20', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet32(*, depth: int = 32, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet32, as `build('resnet32', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet44(*, depth: int = 44, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet44, as `build('resnet44', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet56(*, depth: int = 56, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet56, as `build('resnet56', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet110(*, depth: int = 110, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet110, as `build('resnet110', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet1202(*, depth: int = 1202, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 1.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet1202, as `build('resnet1202', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet110_stochastic_depth(*, depth: int = 110, padding: str = 'symmetric', shortcut: str = 'A', survival: float = 0.5, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnet110_stochastic_depth, as `build('resnet110_stochastic_depth', …)` does.

    A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64). Where the net
    strides, `padding` is "symmetric", as published weights need it, or "same": a 3x3 window's
    center, or its first pixel, is the one that the shortcut takes. `shortcut` is "A" (no
    parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a stage widens;
    `survival` the probability that the last block's own path is kept for a training batch, to
    which it falls linearly from 1 (stochastic depth: Huang et al. 2016, eq. 4 and 5); `dropout` the
    rate before the logits. Raises ValueError where depth is not 6n + 2.
    """

def resnet18_v2(*, depths: Sequence[int] = (2, 2, 2, 2), block: str = 'basic', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet18_v2, as `build('resnet18_v2', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def resnet34_v2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'basic', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet34_v2, as `build('resnet34_v2', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def resnet50_v2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet50_v2, as `build('resnet50_v2', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def resnet101_v2(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet101_v2, as `build('resnet101_v2', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def resnet152_v2(*, depths: Sequence[int] = (3, 8, 36, 3), block: str = 'bottleneck', stem: str = '7x7', width: int = 64, shortcut: str = 'B', stride_in: str = '3x3', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnet152_v2, as `build('resnet152_v2', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def preact_resnet110(*, depths: Sequence[int] = (18, 18, 18), block: str = 'basic', stem: str = '3x3', width: int = 16, shortcut: str = 'A', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet110, as `build('preact_resnet110', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def preact_resnet164(*, depths: Sequence[int] = (18, 18, 18), block: str = 'bottleneck', stem: str = '3x3', width: int = 16, shortcut: str = 'B', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet164, as `build('preact_resnet164', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def preact_resnet1001(*, depths: Sequence[int] = (111, 111, 111), block: str = 'bottleneck', stem: str = '3x3', width: int = 16, shortcut: str = 'B', stride_in: str = '1x1', strided_block: str = 'first', use_bias: bool = False, zero_padded_pool: bool = False, epsilon: float = 1e-05, block_dropout: float = 0.0, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build preact_resnet1001, as `build('preact_resnet1001', …)` does.

    A stem and stages of `depths` blocks, `width` wide at first, doubled where the map is halved.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `block` is "basic" or "bottleneck", whose `stride_in` is "3x3" (timm,
    Keras) or "1x1" (the paper's code). `stem` is "7x7", with a max pool, or the "3x3" of CIFAR
    nets, normalized and activated before the first block. `shortcut` is "B" (1x1 projection) or
    "A" (no parameters) where a stage widens. `dropout` is the rate before the logits,
    `block_dropout` before a block's last convolution.

    Keras' form has `strided_block="last"`, in all stages but the last; biases in convolutions that
    no norm follows, `use_bias`; and zeros around the map that the stem pools, `zero_padded_pool`.
    """

def wide_resnet50_2(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 128, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build wide_resnet50_2, as `build('wide_resnet50_2', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def wide_resnet101_2(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 128, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build wide_resnet101_2, as `build('wide_resnet101_2', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def wrn_16_8(*, depth: int = 16, width: int = 8, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_16_8, as `build('wrn_16_8', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64 * width).
    `dropout` is the rate inside the blocks; with it the paper has 0.3. Raises ValueError where
    depth is not 6n + 4.
    """

def wrn_28_10(*, depth: int = 28, width: int = 10, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_28_10, as `build('wrn_28_10', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64 * width).
    `dropout` is the rate inside the blocks; with it the paper has 0.3. Raises ValueError where
    depth is not 6n + 4.
    """

def wrn_40_4(*, depth: int = 40, width: int = 4, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build wrn_40_4, as `build('wrn_40_4', …)` does.

    WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/4, w/4, 64 * width).
    `dropout` is the rate inside the blocks; with it the paper has 0.3. Raises ValueError where
    depth is not 6n + 4.
    """

def resnext50_32x4d(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 32, width_per_group: int = 4, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext50_32x4d, as `build('resnext50_32x4d', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnext101_32x8d(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 32, width_per_group: int = 8, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext101_32x8d, as `build('resnext101_32x8d', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnext101_64x4d(*, depths: Sequence[int] = (3, 4, 23, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 64, width_per_group: int = 4, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build resnext101_64x4d, as `build('resnext101_64x4d', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def resnext29_8x64d(*, depths: Sequence[int] = (3, 3, 3), block: str = 'bottleneck', stem: str = '3x3', stride_in: str = '3x3', groups: int = 8, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = None, shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build resnext29_8x64d, as `build('resnext29_8x64d', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def fractalnet20(*, filters: Sequence[int] = (64, 128, 256, 512, 512), columns: int = 3, column: int | None = None, drop_path: float = 0.15, global_share: float = 0.5, dropout: float = 0.4, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build fractalnet20, as `build('fractalnet20', …)` does.

    A fractal block of `columns` columns for each of `filters`, at its end a 2x2 max pool.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512). `column`, 1
    (the shallowest) to `columns`, builds that one alone, with the layer names it has among the
    others, so that its weights can be taken from there. Joins drop paths in training: for a share
    `global_share` of the mini-batches all columns but one, else each path at rate `drop_path`; at
    rate 0 none ever. `dropout` is the rate inside the last block, to which it rises in equal steps
    from 0.

    The paper gives 38.6M parameters for 20 layers. The widths it states, with the biases of its
    authors' convolutions and norms that scale and shift, make the 33,734,922 built here; it would
    be 38.5M if each column's first convolution took as many channels as it gives.
    """

def fractalnet20_column(*, filters: Sequence[int] = (64, 128, 256, 512, 512), columns: int = 3, column: int | None = 3, drop_path: float = 0.15, global_share: float = 0.5, dropout: float = 0.4, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build fractalnet20_column, as `build('fractalnet20_column', …)` does.

    A fractal block of `columns` columns for each of `filters`, at its end a 2x2 max pool.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512). `column`, 1
    (the shallowest) to `columns`, builds that one alone, with the layer names it has among the
    others, so that its weights can be taken from there. Joins drop paths in training: for a share
    `global_share` of the mini-batches all columns but one, else each path at rate `drop_path`; at
    rate 0 none ever. `dropout` is the rate inside the last block, to which it rises in equal steps
    from 0.

    The paper gives 38.6M parameters for 20 layers. The widths it states, with the biases of its
    authors' convolutions and norms that scale and shift, make the 33,734,922 built here; it would
    be 38.5M if each column's first convolution took as many channels as it gives.
    """

def densenet121(*, depths: Sequence[int] = (6, 12, 24, 16), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet121, as `build('densenet121', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet161(*, depths: Sequence[int] = (6, 12, 36, 24), growth_rate: int = 48, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet161, as `build('densenet161', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet169(*, depths: Sequence[int] = (6, 12, 32, 32), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet169, as `build('densenet169', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet201(*, depths: Sequence[int] = (6, 12, 48, 32), growth_rate: int = 32, bottleneck: bool = True, compression: float = 0.5, stem: str = '7x7', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build densenet201, as `build('densenet201', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet40_12(*, depths: Sequence[int] = (12, 12, 12), growth_rate: int = 12, bottleneck: bool = False, compression: float = 1.0, stem: str = '3x3', stem_width: int | None = 16, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet40_12, as `build('densenet40_12', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet_bc100_12(*, depths: Sequence[int] = (16, 16, 16), growth_rate: int = 12, bottleneck: bool = True, compression: float = 0.5, stem: str = '3x3', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet_bc100_12, as `build('densenet_bc100_12', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def densenet_bc190_40(*, depths: Sequence[int] = (31, 31, 31), growth_rate: int = 40, bottleneck: bool = True, compression: float = 0.5, stem: str = '3x3', stem_width: int | None = None, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build densenet_bc190_40, as `build('densenet_bc190_40', …)` does.

    A stem and dense blocks ("stages") of `depths` layers, a transition between two of them.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1024) in
    DenseNet-121. Each layer adds `growth_rate` channels, the paper's k, and has a 1x1 convolution down
    to 4k channels with `bottleneck`; transitions keep the share `compression`. `stem` is "7x7" with
    a max pool or the "3x3" of CIFAR nets, `stem_width` wide, 2k if None. `dropout` is the rate
    behind each convolution but the stem's: 0.2 in the paper where images are not augmented.
    """

def se_resnet50(*, depths: Sequence[int] = (3, 4, 6, 3), block: str = 'bottleneck', stem: str = '7x7', stride_in: str = '3x3', groups: int = 1, width_per_group: int = 64, attend: Callable[..., typing.Any] | None = ..., shortcut: bool = True, use_bias: bool = False, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build se_resnet50, as `build('se_resnet50', …)` does.

    A stem and four stages of `depths` blocks; each stage halves the map and doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), four times
    as wide for bottlenecks. `stem` is "7x7" and strides, with a max pool behind it, or the "3x3" of
    CIFAR nets, which does not. `block` is "basic" or "bottleneck"; of the latter, `stride_in` names
    the convolution that strides, "3x3" or "1x1", and the 3x3 has `groups`, `width_per_group` wide
    at stage 1. `attend`, a function (y, name) -> y, works on a block's own path before the sum;
    `shortcut=False` is the paper's plain control; `use_bias` gives convolutions biases. `dropout`
    is the rate before the logits.
    """

def squeezenet1_0(*, filters: int = 96, kernel_size: int = 7, pools: Sequence[int] = (5, 9), squeeze: Sequence[int] = (16, 16, 32, 32, 48, 48, 64, 64), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build squeezenet1_0, as `build('squeezenet1_0', …)` does.

    A convolution, a fire module for each of `squeeze`, and a last convolution, a map a class.

    Shapes: (batch, h, w, c) -> (batch, num_classes), the maps' means, none below 0; `features` is
    what the last convolution sees. Max pools stand before the fires that `pools` numbers, the
    first of them being 2. `dropout` is the rate behind the fires.
    """

def squeezenet1_1(*, filters: int = 64, kernel_size: int = 3, pools: Sequence[int] = (4, 6), squeeze: Sequence[int] = (16, 16, 32, 32, 48, 48, 64, 64), dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build squeezenet1_1, as `build('squeezenet1_1', …)` does.

    A convolution, a fire module for each of `squeeze`, and a last convolution, a map a class.

    Shapes: (batch, h, w, c) -> (batch, num_classes), the maps' means, none below 0; `features` is
    what the last convolution sees. Max pools stand before the fires that `pools` numbers, the
    first of them being 2. `dropout` is the rate behind the fires.
    """

def mobilenet_v3_large(*, stages: Sequence[tuple] = ..., hidden: int = 1280, width: float = 1.0, minimal: bool = False, padding: str = 'symmetric', epsilon: float = 0.001, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build mobilenet_v3_large, as `build('mobilenet_v3_large', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks, a 1x1 convolution and a dense layer.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, six times the last
    stage's filters). `hidden` is the width of the dense layer; `width` multiplies the other
    filters; `minimal` is the form without squeeze-excite, 5x5 kernels and hard-swish. Where the
    net strides, `padding` is "symmetric" or "same"; `dropout` is the rate before the logits.
    """

def mobilenet_v3_small(*, stages: Sequence[tuple] = ..., hidden: int = 1024, width: float = 1.0, minimal: bool = False, padding: str = 'symmetric', epsilon: float = 0.001, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build mobilenet_v3_small, as `build('mobilenet_v3_small', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks, a 1x1 convolution and a dense layer.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, six times the last
    stage's filters). `hidden` is the width of the dense layer; `width` multiplies the other
    filters; `minimal` is the form without squeeze-excite, 5x5 kernels and hard-swish. Where the
    net strides, `padding` is "symmetric" or "same"; `dropout` is the rate before the logits.
    """

def shufflenet_v1(*, groups: int = 3, width: float = 1.0, stem: int = 24, depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v1, as `build('shufflenet_v1', …)` does.

    A stem and stages 2 to 4 of `depths` units; each stage halves the map, doubles the width.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 960) with three
    groups. `groups` is 1, 2, 3, 4 or 8, and the more, the wider at the same cost; `width`
    multiplies the stages' filters; the authors' code then has a `stem` of 12 filters at 0.5 and of
    48 at 2; `dropout` is the rate before the logits.
    """

def shufflenet_v2_x0_5(*, filters: Sequence[int] = (48, 96, 192, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x0_5, as `build('shufflenet_v2_x0_5', …)` does.

    A stem, stages 2 to 4 of `depths` units that each halve the map, and a 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, filters[-1]).
    `filters` are those of the three stages and of the last convolution; `dropout` is the rate
    before the logits.
    """

def shufflenet_v2_x1_0(*, filters: Sequence[int] = (116, 232, 464, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x1_0, as `build('shufflenet_v2_x1_0', …)` does.

    A stem, stages 2 to 4 of `depths` units that each halve the map, and a 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, filters[-1]).
    `filters` are those of the three stages and of the last convolution; `dropout` is the rate
    before the logits.
    """

def shufflenet_v2_x1_5(*, filters: Sequence[int] = (176, 352, 704, 1024), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x1_5, as `build('shufflenet_v2_x1_5', …)` does.

    A stem, stages 2 to 4 of `depths` units that each halve the map, and a 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, filters[-1]).
    `filters` are those of the three stages and of the last convolution; `dropout` is the rate
    before the logits.
    """

def shufflenet_v2_x2_0(*, filters: Sequence[int] = (244, 488, 976, 2048), depths: Sequence[int] = (4, 8, 4), dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build shufflenet_v2_x2_0, as `build('shufflenet_v2_x2_0', …)` does.

    A stem, stages 2 to 4 of `depths` units that each halve the map, and a 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, filters[-1]).
    `filters` are those of the three stages and of the last convolution; `dropout` is the rate
    before the logits.
    """

def nasnet_mobile(*, repeats: int = 4, penultimate_filters: int = 1056, stem: str = 'imagenet', stem_filters: int = 32, skip_reduction_input: bool = False, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.0, drop_path_steps: int = 250000, momentum: float = 0.9997, epsilon: float = 0.001, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build nasnet_mobile, as `build('nasnet_mobile', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` has P channels at h/32, or h/4
    with the "cifar" `stem`. The cell behind a reduction takes as the map before the reduction's
    input or, with `skip_reduction_input`, what came before that. `zero_padded_pools`, of "avg" and
    "max", names the strided pools that see zeros around the map, as Keras' and timm's do and the
    release's do not. `drop_path` is the rate at which the last cell's operations are dropped in
    training, for each image; it grows linearly with the cell's depth, and from 0 over
    `drop_path_steps` steps, the whole training in the release (ScheduledDropPath: section 4 and
    appendix A.5). `momentum` and `epsilon` are batch norm's, `dropout` the rate before the logits.
    Raises ValueError where P is no multiple of 24.
    """

def nasnet_large(*, repeats: int = 6, penultimate_filters: int = 4032, stem: str = 'imagenet', stem_filters: int = 96, skip_reduction_input: bool = True, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.3, drop_path_steps: int = 250000, momentum: float = 0.9997, epsilon: float = 0.001, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (331, 331, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build nasnet_large, as `build('nasnet_large', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` has P channels at h/32, or h/4
    with the "cifar" `stem`. The cell behind a reduction takes as the map before the reduction's
    input or, with `skip_reduction_input`, what came before that. `zero_padded_pools`, of "avg" and
    "max", names the strided pools that see zeros around the map, as Keras' and timm's do and the
    release's do not. `drop_path` is the rate at which the last cell's operations are dropped in
    training, for each image; it grows linearly with the cell's depth, and from 0 over
    `drop_path_steps` steps, the whole training in the release (ScheduledDropPath: section 4 and
    appendix A.5). `momentum` and `epsilon` are batch norm's, `dropout` the rate before the logits.
    Raises ValueError where P is no multiple of 24.
    """

def nasnet_cifar(*, repeats: int = 6, penultimate_filters: int = 768, stem: str = 'cifar', stem_filters: int = 96, skip_reduction_input: bool = False, zero_padded_pools: Sequence[str] = (), drop_path: float = 0.4, drop_path_steps: int = 937500, momentum: float = 0.9, epsilon: float = 1e-05, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (32, 32, 3), num_classes: int | None = 10, name: str | None = None) -> keras.Model:
    """Build nasnet_cifar, as `build('nasnet_cifar', …)` does.

    NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` has P channels at h/32, or h/4
    with the "cifar" `stem`. The cell behind a reduction takes as the map before the reduction's
    input or, with `skip_reduction_input`, what came before that. `zero_padded_pools`, of "avg" and
    "max", names the strided pools that see zeros around the map, as Keras' and timm's do and the
    release's do not. `drop_path` is the rate at which the last cell's operations are dropped in
    training, for each image; it grows linearly with the cell's depth, and from 0 over
    `drop_path_steps` steps, the whole training in the release (ScheduledDropPath: section 4 and
    appendix A.5). `momentum` and `epsilon` are batch norm's, `dropout` the rate before the logits.
    Raises ValueError where P is no multiple of 24.
    """

def efficientnet_b0(*, width: float = 1.0, depth: float = 1.0, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b0, as `build('efficientnet_b0', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b1(*, width: float = 1.0, depth: float = 1.1, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (240, 240, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b1, as `build('efficientnet_b1', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b2(*, width: float = 1.1, depth: float = 1.2, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: tuple[int | None, int | None, int] = (260, 260, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b2, as `build('efficientnet_b2', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b3(*, width: float = 1.2, depth: float = 1.4, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: tuple[int | None, int | None, int] = (300, 300, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b3, as `build('efficientnet_b3', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b4(*, width: float = 1.4, depth: float = 1.8, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.4, input_shape: tuple[int | None, int | None, int] = (380, 380, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b4, as `build('efficientnet_b4', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b5(*, width: float = 1.6, depth: float = 2.2, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.4, input_shape: tuple[int | None, int | None, int] = (456, 456, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b5, as `build('efficientnet_b5', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b6(*, width: float = 1.8, depth: float = 2.6, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (528, 528, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b6, as `build('efficientnet_b6', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_b7(*, width: float = 2.0, depth: float = 3.1, fixed_ends: bool = False, stages: Sequence[tuple] = ..., se_ratio: float = 0.25, activation: str = 'silu', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 0.001, momentum: float = 0.99, dropout: float = 0.5, input_shape: tuple[int | None, int | None, int] = (600, 600, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_b7, as `build('efficientnet_b7', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_lite0(*, width: float = 1.0, depth: float = 1.0, fixed_ends: bool = True, stages: Sequence[tuple] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite0, as `build('efficientnet_lite0', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_lite1(*, width: float = 1.0, depth: float = 1.1, fixed_ends: bool = True, stages: Sequence[tuple] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.2, input_shape: tuple[int | None, int | None, int] = (240, 240, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite1, as `build('efficientnet_lite1', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_lite2(*, width: float = 1.1, depth: float = 1.2, fixed_ends: bool = True, stages: Sequence[tuple] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: tuple[int | None, int | None, int] = (260, 260, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite2, as `build('efficientnet_lite2', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_lite3(*, width: float = 1.2, depth: float = 1.4, fixed_ends: bool = True, stages: Sequence[tuple] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: tuple[int | None, int | None, int] = (280, 280, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite3, as `build('efficientnet_lite3', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def efficientnet_lite4(*, width: float = 1.4, depth: float = 1.8, fixed_ends: bool = True, stages: Sequence[tuple] = ..., se_ratio: float = 0.0, activation: str = 'relu6', survival: float = 0.8, padding: str = 'symmetric', epsilon: float = 1e-05, momentum: float = 0.9, dropout: float = 0.3, input_shape: tuple[int | None, int | None, int] = (300, 300, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build efficientnet_lite4, as `build('efficientnet_lite4', …)` does.

    A 3x3 stem, `stages` of inverted residual blocks and a wide 1x1 convolution.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 1280 * width).
    `width` multiplies the filters and `depth` the repeats of the stages, which `fixed_ends` keeps
    from the stem, the last convolution and the repeats of the first and the last stage. In
    squeeze-excite the channels of a block's input times `se_ratio` are left, 0 for none. `survival`
    is the probability that the last block's own path is kept in training, to which it falls
    linearly from 1; `dropout` the rate before the logits. Where the net strides, `padding` is
    "symmetric" or "same".
    """

def convnext_tiny(*, depths: Sequence[int] = (3, 3, 9, 3), widths: Sequence[int] = (96, 192, 384, 768), drop_path: float = 0.1, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_tiny, as `build('convnext_tiny', …)` does.

    A stem of 4x4 patches and stages of `depths` blocks, `widths` wide, each half the map.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, widths[-1]), to be
    normed after pooling. `drop_path` is the rate at which training drops the last block, growing
    linearly from 0 at the first; `layer_scale` what each block's output is multiplied by at first;
    `epsilon` the norms'; `dropout` the rate before the logits.
    """

def convnext_small(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (96, 192, 384, 768), drop_path: float = 0.4, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_small, as `build('convnext_small', …)` does.

    A stem of 4x4 patches and stages of `depths` blocks, `widths` wide, each half the map.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, widths[-1]), to be
    normed after pooling. `drop_path` is the rate at which training drops the last block, growing
    linearly from 0 at the first; `layer_scale` what each block's output is multiplied by at first;
    `epsilon` the norms'; `dropout` the rate before the logits.
    """

def convnext_base(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (128, 256, 512, 1024), drop_path: float = 0.5, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_base, as `build('convnext_base', …)` does.

    A stem of 4x4 patches and stages of `depths` blocks, `widths` wide, each half the map.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, widths[-1]), to be
    normed after pooling. `drop_path` is the rate at which training drops the last block, growing
    linearly from 0 at the first; `layer_scale` what each block's output is multiplied by at first;
    `epsilon` the norms'; `dropout` the rate before the logits.
    """

def convnext_large(*, depths: Sequence[int] = (3, 3, 27, 3), widths: Sequence[int] = (192, 384, 768, 1536), drop_path: float = 0.5, layer_scale: float = 1e-06, epsilon: float = 1e-06, dropout: float = 0.0, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build convnext_large, as `build('convnext_large', …)` does.

    A stem of 4x4 patches and stages of `depths` blocks, `widths` wide, each half the map.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, widths[-1]), to be
    normed after pooling. `drop_path` is the rate at which training drops the last block, growing
    linearly from 0 at the first; `layer_scale` what each block's output is multiplied by at first;
    `epsilon` the norms'; `dropout` the rate before the logits.
    """

def vit_b_16(*, patch: int = 16, hidden_dim: int = 768, depth: int = 12, num_heads: int = 12, mlp_dim: int = 3072, dropout: float = 0.1, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_b_16, as `build('vit_b_16', …)` does.

    Patches of `patch` pixels, as tokens of `hidden_dim` channels, and `depth` encoder blocks.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` are the class token and the
    patches, normed: (1 + h/patch * w/patch, hidden_dim). Every block has `num_heads` heads and
    `mlp_dim` hidden units. `dropout` (table 3) is the rate after all but the projections to queries, keys and
    values (appendix B.1). Raises ValueError for images that are not whole patches: each patch has
    a position embedding of its own, so another size is another net.
    """

def vit_b_32(*, patch: int = 32, hidden_dim: int = 768, depth: int = 12, num_heads: int = 12, mlp_dim: int = 3072, dropout: float = 0.1, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_b_32, as `build('vit_b_32', …)` does.

    Patches of `patch` pixels, as tokens of `hidden_dim` channels, and `depth` encoder blocks.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` are the class token and the
    patches, normed: (1 + h/patch * w/patch, hidden_dim). Every block has `num_heads` heads and
    `mlp_dim` hidden units. `dropout` (table 3) is the rate after all but the projections to queries, keys and
    values (appendix B.1). Raises ValueError for images that are not whole patches: each patch has
    a position embedding of its own, so another size is another net.
    """

def vit_l_16(*, patch: int = 16, hidden_dim: int = 1024, depth: int = 24, num_heads: int = 16, mlp_dim: int = 4096, dropout: float = 0.1, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_l_16, as `build('vit_l_16', …)` does.

    Patches of `patch` pixels, as tokens of `hidden_dim` channels, and `depth` encoder blocks.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` are the class token and the
    patches, normed: (1 + h/patch * w/patch, hidden_dim). Every block has `num_heads` heads and
    `mlp_dim` hidden units. `dropout` (table 3) is the rate after all but the projections to queries, keys and
    values (appendix B.1). Raises ValueError for images that are not whole patches: each patch has
    a position embedding of its own, so another size is another net.
    """

def vit_l_32(*, patch: int = 32, hidden_dim: int = 1024, depth: int = 24, num_heads: int = 16, mlp_dim: int = 4096, dropout: float = 0.1, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_l_32, as `build('vit_l_32', …)` does.

    Patches of `patch` pixels, as tokens of `hidden_dim` channels, and `depth` encoder blocks.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` are the class token and the
    patches, normed: (1 + h/patch * w/patch, hidden_dim). Every block has `num_heads` heads and
    `mlp_dim` hidden units. `dropout` (table 3) is the rate after all but the projections to queries, keys and
    values (appendix B.1). Raises ValueError for images that are not whole patches: each patch has
    a position embedding of its own, so another size is another net.
    """

def vit_h_14(*, patch: int = 14, hidden_dim: int = 1280, depth: int = 32, num_heads: int = 16, mlp_dim: int = 5120, dropout: float = 0.1, input_shape: tuple[int | None, int | None, int] = (224, 224, 3), num_classes: int | None = 1000, name: str | None = None) -> keras.Model:
    """Build vit_h_14, as `build('vit_h_14', …)` does.

    Patches of `patch` pixels, as tokens of `hidden_dim` channels, and `depth` encoder blocks.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` are the class token and the
    patches, normed: (1 + h/patch * w/patch, hidden_dim). Every block has `num_heads` heads and
    `mlp_dim` hidden units. `dropout` (table 3) is the rate after all but the projections to queries, keys and
    values (appendix B.1). Raises ValueError for images that are not whole patches: each patch has
    a position embedding of its own, so another size is another net.
    """
