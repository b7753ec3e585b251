"""Facts about the networks that several tests share, one row each."""

import pathlib
import re

import keras
import numpy as np

from cvcourse import models
from cvcourse.models import pretrained

# name: (trainable parameters of its usual form, source)
PARAMETERS = {
    "linear": (30_730, "3072 * 10 + 10"),
    "mlp": (1_707_274, "3072 * 512 + 512 + 512 * 256 + 256 + 256 * 10 + 10"),
    "lenet_300_100": (266_610, "Han et al. 2015, table 3: 267K; 784 * 300 + 300 + 30,100 + 1,010"),
    "lenet5": (61_706, "156 + 2,416 + 48,120 + 10,164 + 850: figure 2 with a dense C3"),
    "lenet5_1998": (60_000, "156 + 12 + 1,516 + 32 + 48,120 + 10,164: section II.B, RBFs fixed"),
    "lenet5_caffe": (431_080, "520 + 25,050 + 400,500 + 5,010; Han et al. 2015, table 4: 431K"),
    "alexnet": (61_100_840, "torchvision's num_params"),
    "alexnet_2012": (60_965_224, "Caffe's bvlc_alexnet"),
    "zfnet": (62_357_608, "figure 3, by hand"),
    "vgg11": (132_863_336, "torchvision's num_params"),
    "vgg13": (133_047_848, "torchvision's num_params"),
    "vgg16": (138_357_544, "torchvision's num_params"),
    "vgg19": (143_667_240, "torchvision's num_params"),
    "vgg11_bn": (132_868_840, "torchvision's num_params"),
    "vgg13_bn": (133_053_736, "torchvision's num_params"),
    "vgg16_bn": (138_365_992, "torchvision's num_params"),
    "vgg19_bn": (143_678_248, "torchvision's num_params"),
    "vgg16_cifar": (14_728_266, "the convolutions of vgg16_bn and 512 * 10 + 10"),
    "nin": (7_595_176, "Caffe's model zoo"),
    "nin_cifar": (966_986, "the paper's 0.97M, by hand"),
    "googlenet": (6_624_904, "torchvision's, without heads"),
    "googlenet_2014": (6_998_552, "table 1 with biases: Caffe's bvlc_googlenet"),
    "inception_v3": (23_834_568, "torchvision's, without its head"),
    "resnet18": (11_689_512, "torchvision's num_params"),
    "resnet34": (21_797_672, "torchvision's num_params"),
    "resnet50": (25_557_032, "torchvision's num_params"),
    "resnet101": (44_549_160, "torchvision's num_params"),
    "resnet152": (60_192_808, "torchvision's num_params"),
    "plain18": (11_515_688, "its ResNet without projections"),
    "plain34": (21_623_848, "its ResNet without projections"),
    "resnet20": (269_722, "He et al. 2016, table 6: 0.27M"),
    "resnet32": (464_154, "0.46M"),
    "resnet44": (658_586, "0.66M"),
    "resnet56": (853_018, "0.85M"),
    "resnet110": (1_727_962, "1.7M"),
    "resnet1202": (19_421_274, "19.4M"),
    "resnet110_stochastic_depth": (1_727_962, "that of resnet110"),
    "resnet18_v2": (11_687_720, "timm's resnetv2"),
    "resnet34_v2": (21_795_880, "timm's resnetv2"),
    "resnet50_v2": (25_549_352, "timm's resnetv2"),
    "resnet101_v2": (44_541_480, "timm's resnetv2"),
    "resnet152_v2": (60_185_128, "timm's resnetv2"),
    "preact_resnet110": (1_727_962, "He et al. 2016b: 1.7M, 1.7M, 10.2M"),
    "preact_resnet164": (1_703_258, "He et al. 2016b: 1.7M, 1.7M, 10.2M"),
    "preact_resnet1001": (10_327_706, "He et al. 2016b: 1.7M, 1.7M, 10.2M"),
    "wide_resnet50_2": (68_883_240, "torchvision's num_params"),
    "wide_resnet101_2": (126_886_696, "torchvision's num_params"),
    "wrn_16_8": (10_961_370, "Zagoruyko & Komodakis 2016: 11.0M, 36.5M, 8.9M"),
    "wrn_28_10": (36_479_194, "Zagoruyko & Komodakis 2016: 11.0M, 36.5M, 8.9M"),
    "wrn_40_4": (8_949_210, "Zagoruyko & Komodakis 2016: 11.0M, 36.5M, 8.9M"),
    "resnext50_32x4d": (25_028_904, "torchvision's num_params"),
    "resnext101_32x8d": (88_791_336, "torchvision's num_params"),
    "resnext101_64x4d": (83_455_272, "torchvision's num_params"),
    "resnext29_8x64d": (34_426_698, "Xie et al. 2017: 34.4M"),
    "fractalnet20": (33_734_922, "the stated widths; the paper's 38.6M does not follow"),
    "fractalnet20_column": (20_410_314, "its deepest column"),
    "densenet121": (7_978_856, "torchvision's num_params"),
    "densenet161": (28_681_000, "torchvision's num_params"),
    "densenet169": (14_149_480, "torchvision's num_params"),
    "densenet201": (20_013_928, "torchvision's num_params"),
    "densenet40_12": (1_019_722, "Huang et al. 2017, table 2: 1.0M, 0.8M, 25.6M"),
    "densenet_bc100_12": (769_162, "Huang et al. 2017, table 2: 1.0M, 0.8M, 25.6M"),
    "densenet_bc190_40": (25_624_430, "Huang et al. 2017, table 2: 1.0M, 0.8M, 25.6M"),
    "se_resnet50": (28_088_024, "timm's seresnet50"),
    "squeezenet1_0": (1_248_424, "torchvision's num_params"),
    "squeezenet1_1": (1_235_496, "torchvision's num_params"),
    "mobilenet": (4_231_976, "timm's mobilenetv1_100"),
    "mobilenet_v2": (3_504_872, "torchvision's num_params"),
    "mobilenet_v3_large": (5_483_032, "torchvision's num_params"),
    "mobilenet_v3_small": (2_542_856, "torchvision's num_params"),
    "shufflenet_v1": (1_865_728, "table 1, by hand"),
    "shufflenet_v2_x0_5": (1_366_792, "torchvision's num_params"),
    "shufflenet_v2_x1_0": (2_278_604, "torchvision's num_params"),
    "shufflenet_v2_x1_5": (3_503_624, "torchvision's num_params"),
    "shufflenet_v2_x2_0": (7_393_996, "torchvision's num_params"),
    "nasnet_mobile": (5_289_978, "keras.applications, trainable"),
    "nasnet_large": (88_753_150, "timm's nasnetalarge"),
    "nasnet_cifar": (3_346_538, "3.3M in the paper's table 1"),
    "efficientnet_b0": (5_288_548, "torchvision's num_params"),
    "efficientnet_b1": (7_794_184, "torchvision's num_params"),
    "efficientnet_b2": (9_109_994, "torchvision's num_params"),
    "efficientnet_b3": (12_233_232, "torchvision's num_params"),
    "efficientnet_b4": (19_341_616, "torchvision's num_params"),
    "efficientnet_b5": (30_389_784, "torchvision's num_params"),
    "efficientnet_b6": (43_040_704, "torchvision's num_params"),
    "efficientnet_b7": (66_347_960, "torchvision's num_params"),
    "efficientnet_lite0": (4_652_008, "timm's"),
    "efficientnet_lite1": (5_416_680, "timm's"),
    "efficientnet_lite2": (6_092_072, "timm's"),
    "efficientnet_lite3": (8_197_096, "timm's"),
    "efficientnet_lite4": (13_006_568, "timm's"),
    "convnext_tiny": (28_589_128, "torchvision's num_params"),
    "convnext_small": (50_223_688, "torchvision's num_params"),
    "convnext_base": (88_591_464, "torchvision's num_params"),
    "convnext_large": (197_767_336, "torchvision's num_params"),
    "vit_b_16": (86_567_656, "torchvision's num_params"),
    "vit_b_32": (88_224_232, "torchvision's num_params"),
    "vit_l_16": (304_326_632, "torchvision's num_params"),
    "vit_l_32": (306_535_400, "torchvision's num_params"),
    "vit_h_14": (632_045_800, "torchvision's num_params"),
}

# The rows of the README's course map: (name, parameters, multiply-accumulates, accuracy).
COURSE_MAP = re.findall(
    r"^\|.*\| `(\w+)` \| ([\d,]+) \| ([\d.]+ \w) \| (.*?) ?\|$",
    (pathlib.Path(__file__).parents[1] / "README.md").read_text(),
    re.MULTILINE,
)

# A small form of each family, for tests that train, copy, or use another backend.
GRAY, TINY, SMALL_RGB = (32, 32, 1), (16, 16, 3), (32, 32, 3)
FEW_MODULES = ("inception3a", "pool3", "inception4a", "inception4d")
SMALL = {
    "linear": {"input_shape": (8, 8, 1)},
    "mlp": {"input_shape": (8, 8, 1), "hidden": (16, 8)},
    "lenet5": {"input_shape": GRAY},
    "lenet5_1998": {"input_shape": GRAY},
    "alexnet": {"input_shape": (63, 63, 3), "width": 0.25, "hidden": (64, 64)},
    "alexnet_2012": {"input_shape": (67, 67, 3), "width": 0.25, "hidden": (64, 64)},
    "zfnet": {"input_shape": (47, 47, 3), "width": 0.25, "hidden": (64, 64)},
    "vgg11": {"input_shape": SMALL_RGB, "width": 0.25, "hidden": (64, 64)},
    "vgg16_cifar": {"input_shape": SMALL_RGB, "width": 0.25},
    "nin_cifar": {"input_shape": SMALL_RGB, "width": 0.25},
    "googlenet": {"input_shape": SMALL_RGB, "width": 0.125, "modules": FEW_MODULES},
    "googlenet_2014": {"input_shape": SMALL_RGB, "width": 0.25, "modules": FEW_MODULES},
    "inception_v3": {
        "input_shape": (75, 75, 3),
        "width": 0.125,
        "modules": ("mixed_5b", "mixed_6a", "mixed_6e", "mixed_7a", "mixed_7b"),
    },
    "resnet18": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "resnet50": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "plain18": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "resnet20": {"input_shape": TINY, "depth": 8},
    "resnet50_v2": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "preact_resnet164": {"input_shape": TINY, "depths": (1, 1, 1)},
    "wrn_16_8": {"input_shape": TINY, "depth": 10, "width": 1},
    "resnext50_32x4d": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "fractalnet20": {"input_shape": SMALL_RGB, "filters": (16, 16), "columns": 2},
    "densenet121": {"input_shape": SMALL_RGB, "depths": (2, 2), "growth_rate": 8},
    "densenet40_12": {"input_shape": TINY, "depths": (2, 2)},
    "se_resnet50": {"input_shape": SMALL_RGB, "depths": (1, 1)},
    "squeezenet1_1": {"input_shape": SMALL_RGB, "squeeze": (16, 16), "pools": ()},
    "mobilenet": {"input_shape": SMALL_RGB, "width": 0.25, "stages": ((64,), (128, 128))},
    "mobilenet_v2": {
        "input_shape": SMALL_RGB,
        "stages": ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2)),
        "width": 0.5,
    },
    "mobilenet_v3_small": {
        "input_shape": SMALL_RGB,
        "stages": (
            ((3, 16, 16, True, "relu", 2),),
            ((5, 96, 24, True, "hard_swish", 2), (5, 96, 24, True, "hard_swish", 1)),
        ),
    },
    "shufflenet_v1": {"input_shape": SMALL_RGB, "width": 0.25, "depths": (2, 2)},
    "shufflenet_v2_x0_5": {"input_shape": SMALL_RGB, "filters": (24, 48, 64), "depths": (2, 2)},
    "nasnet_mobile": {"input_shape": SMALL_RGB, "repeats": 1, "penultimate_filters": 96},
    "nasnet_cifar": {"input_shape": TINY, "repeats": 1, "penultimate_filters": 96},
    "efficientnet_b0": {
        "input_shape": SMALL_RGB,
        "stages": ((1, 3, 16, 1, 1), (6, 5, 24, 2, 2)),
        "width": 0.5,
    },
    "convnext_tiny": {"input_shape": SMALL_RGB, "depths": (1, 1), "widths": (16, 32)},
    "vit_b_16": {
        "input_shape": SMALL_RGB,
        "hidden_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "mlp_dim": 64,
    },
}

# Nets without batch norm, or with a layer scale of 1e-6: gradient descent takes too many steps.
ADAM = (
    *("lenet5_1998", "alexnet", "alexnet_2012", "zfnet", "vgg11", "nin_cifar", "googlenet_2014"),
    *("squeezenet1_1", "fractalnet20", "convnext_tiny"),
)
# Nets whose family has another one in the fast suite.
LONG = (
    *("alexnet_2012", "vgg16_cifar", "googlenet_2014", "plain18", "resnet50", "preact_resnet164"),
    *("densenet40_12", "nasnet_mobile", "nasnet_cifar", "inception_v3"),
)

# Settings for tests of the mathematics.
NO_NOISE = {"dropout": 0.0, "aux_dropout": 0.0, "drop_path": 0.0, "survival": 1.0}


def quiet(name):
    """Builder arguments of a network that switch off dropout and stochastic depth."""
    return {key: value for key, value in NO_NOISE.items() if key in models.builder_args(name)}


def small(name, **settings):
    """The small form of a network, without dropout and the like."""
    return models.build(name, **{"num_classes": 10, **quiet(name), **SMALL[name], **settings})


def lively(net):
    """Return `net` with measured batch-norm statistics; else maps of random weights fade to 0."""
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    noise = np.random.default_rng(0).normal(size=(4, *net.input_shape[1:]))
    net(noise.astype("float32"), training=True)
    return net


def write_random_mobilenet(path):
    """An .npz file of random weights for MobileNet of a quarter's width, in Keras' names."""
    keras.utils.set_random_seed(3)
    ours = lively(pretrained.build_source("keras.mobilenet", width=0.25))
    net = keras.applications.MobileNet(alpha=0.25, weights=None, classifier_activation=None)
    pretrained.load_keras(net, ours)
    tensors = {
        f"{layer.name}/{weight.name}": np.array(weight)
        for layer in net.layers
        for weight in layer.weights
    }
    np.savez(path, **tensors)


def five_kernels():
    """A net of three kernels of at least 100 weights between two others."""
    return keras.Sequential(
        [
            keras.Input((10, 10, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, activation="relu", name="c1"),
            keras.layers.Conv2D(16, 3, 2, activation="relu", name="c3"),
            keras.layers.Flatten(),
            keras.layers.Dense(40, activation="relu", name="c5"),
            keras.layers.Dense(30, activation="tanh", name="f6"),
            keras.layers.Dense(10, dtype="float32", name="logits"),
        ]
    )
