"""Speed of our networks against keras.applications, and torchvision if it is installed.

    cvcourse bench networks
    cvcourse bench networks --networks=resnet50 --rounds=3

Blocks of training steps, and of inference, on random images in memory alternate in one run. A ratio
is the ratio of the medians of two blocks in one round; quartiles are over the rounds. Each opponent
is compared with our network in the form that has the same topology (keras.applications' ResNet-50
has its strides in other layers than torchvision's). torch runs channels_last on all cores in a
separate process. Building is also timed, for each network of keras.applications.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

# network: (name in keras.applications, in torchvision, least ratio of our images per second to
# Keras', to torch's); 1.0 for networks without batch normalization
CONTESTS = {
    "resnet50": ("ResNet50", "resnet50", 1.15, 1.0),
    "densenet121": ("DenseNet121", "densenet121", 1.15, 1.0),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2", 1.15, 0.95),
    "shufflenet_v2_x1_0": (None, "shufflenet_v2_x1_0", None, 0.95),
    "resnet50_v2": ("ResNet50V2", None, 1.15, None),
    "inception_v3": ("InceptionV3", None, 1.15, None),
    "mobilenet": ("MobileNet", None, 1.15, None),
    "mobilenet_v3_large": ("MobileNetV3Large", None, 1.15, None),
    "nasnet_mobile": ("NASNetMobile", None, 1.15, None),
    "efficientnet_b0": ("EfficientNetB0", None, 1.15, None),
    "vgg16": ("VGG16", None, 1.0, None),
    "convnext_tiny": ("ConvNeXtTiny", None, 1.0, None),
}
NAMED = ("resnet50", "densenet121", "mobilenet_v2", "shufflenet_v2_x1_0")
BUILD_TARGET = 1.1  # largest ratio of our time to keras.applications'
CLASSES = 10
TORCHVISION = importlib.util.find_spec("torchvision") and importlib.metadata.version("torchvision")


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks, sizes and rounds of the benchmark."""

    networks: tuple[str, ...] = recipe.field(NAMED, "networks to measure", choices=tuple(CONTESTS))
    size: int = recipe.field(96, "side of the images in pixels", least=32)
    batch_size: int = recipe.field(32, "batch size", least=1)
    steps: int = recipe.field(4, "number of timed steps per block", least=1)
    rounds: int = recipe.field(7, "number of timed blocks of each contestant", least=1)
    build: bool = recipe.field(True, "also time the building of networks")
    output: str = recipe.field("runs/bench_networks.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    steps, checks = {}, {}
    with timing.torch_process() as there:
        for name in config.networks:
            *_, keras_target, torch_target = CONTESTS[name]
            for mode in ("training", "inference"):
                seconds = race(config, name, mode, there)
                steps[f"{mode} {name}"] = {who: timing.quartiles(s) for who, s in seconds.items()}
                if keras_target:
                    found = timing.ratios(seconds, "keras", "ours as keras")
                    checks[f"{mode} {name} / keras"] = timing.check(found, at_least=keras_target)
                if torch_target:
                    found = timing.ratios(seconds, "torch", "ours as torch")
                    checks[f"{mode} {name} / torch"] = timing.check(found, at_least=torch_target)
    if config.build:
        for name, values in building(config.rounds):
            checks[f"building {name}"] = timing.check(values, at_most=BUILD_TARGET)
    return timing.write_benchmark(
        output,
        config,
        checks=checks,
        load=load,
        versions={"torchvision": TORCHVISION},
        step_seconds=steps,
    )


def race(config, name, mode, there):
    """Measure one network in alternating blocks: {contestant: seconds (rounds, steps)}."""
    import keras
    import numpy as np

    from cvcourse.models import pretrained
    from cvcourse.training import timing

    shape, count = (config.size, config.size, 3), 1 + config.steps
    images = np.random.default_rng(0).normal(size=(count * config.batch_size, *shape))
    images = images.astype("float32")
    labels = np.arange(len(images), dtype="int32") % CLASSES
    keras_name, torch_name, *_ = CONTESTS[name]
    nets = {}
    if keras_name:
        nets["ours as keras"] = pretrained.build_source(
            f"keras.{keras_name}", input_shape=shape, num_classes=CLASSES
        )
        nets["keras"] = getattr(keras.applications, keras_name)(
            weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None
        )
    if torch_name and TORCHVISION:
        nets["ours as torch"] = pretrained.build_source(
            f"torchvision.{torch_name}", input_shape=shape, num_classes=CLASSES
        )
    contestants = {}
    for who, net in nets.items():
        net.compile(
            keras.optimizers.SGD(0.01, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        run = {"training": timing.fit_steps, "inference": timing.predict_steps}[mode]
        arrays = (images, labels) if mode == "training" else (images,)
        contestants[who] = functools.partial(run, net, *arrays, batch_size=config.batch_size)
    if torch_name and TORCHVISION:
        job = (torch_name, mode, config.size, config.batch_size, count)
        contestants["torch"] = lambda: there(torch_block, *job)
    return timing.take_turns(contestants, config.rounds)


def torch_block(*job):
    """Run the next block of torch's steps: seconds of each step except the first."""
    return next(torch_blocks(*job))


@functools.cache  # for the life of the process: later blocks continue with the network
def torch_blocks(name, mode, size, batch_size, count):
    """Run a torchvision network: yield seconds of `count` steps except the first, endlessly."""
    import numpy as np
    import torch
    import torchvision

    torch.set_num_threads(os.cpu_count())
    net = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES)
    net = net.to(memory_format=torch.channels_last).train(mode == "training")
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    images = torch.randn(count * batch_size, size, size, 3).permute(0, 3, 1, 2)
    labels = torch.arange(len(images)) % CLASSES
    batches = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))
    while True:
        ends = []
        with torch.set_grad_enabled(mode == "training"):
            for batch, answers in batches:
                logits = net(batch)
                if mode == "training":
                    loss = torch.nn.functional.cross_entropy(logits, answers)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    loss.item()
                ends.append(time.perf_counter())
        yield np.diff(ends)


def building(rounds):
    """Yield, for each network of keras.applications, its name and our time over Keras' by round."""
    import keras

    from cvcourse.models import pretrained

    def seconds(builder, *args, **kwargs):
        begin = time.perf_counter()
        builder(*args, **kwargs)
        return time.perf_counter() - begin

    builders = {name.lower(): f for name, f in vars(keras.applications).items() if callable(f)}
    for source in [name for name in pretrained.SOURCES if name.startswith("keras.")]:
        build_keras = builders[source.removeprefix("keras.").replace("_", "").lower()]
        found = []
        for _ in range(1 + rounds):
            ours = seconds(pretrained.build_source, source)
            found.append(ours / seconds(build_keras, weights=None))
        yield source, found[1:]  # the first round loads modules


cli = recipe.cli(main, "bench networks")


if __name__ == "__main__":
    sys.exit(cli())
