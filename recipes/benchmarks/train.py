"""Speed of `train` compared with Keras' own layers and with torch, and time outside of steps.

    cvcourse bench train
    cvcourse bench train --rounds=3 --epoch_images=0

ResNet-20 on random uint8 images in memory. Contestants take turns, a block of training steps each;
a step is timed from the end of the step before, so that the time between steps and waiting for the
stream count. The first step of a block and the first block of each contestant are dropped (tracing,
cold caches). A ratio is the ratio of the medians of two blocks in one round; quartiles are over the
rounds.

a: images per second of `train` over the same network with Keras' batch normalization and `fit` on
    arrays.
b: images per second of `train` over torch: channels_last, all cores, in a separate process,
    because TensorFlow's heap settings change how torch's memory is paged. Other load on the machine
    (load_average) slows torch, whose threads spin while they wait for each other, far more than
    TensorFlow.
augmented: images per second of `train` with crop and flip over those without.
outside: share of an epoch of `train` that is neither a training step nor validation, from
    on_train_begin to on_train_end of a callback. Waiting for the stream is part of a step (see a
    and augmented); the first step, which traces, counts as a median one.
help_seconds: seconds of `cvcourse --help` and `cvcourse train --help`, from start to exit.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
import timeit
from unittest import mock

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

SHAPES = {"28x28x1": (28, 28, 1), "32x32x3": (32, 32, 3)}
TARGETS = {"a": 1.2, "b": 1.15, "augmented": 0.95, "outside": 0.03, "help_seconds": 0.5}
RATIOS = {"a": ("keras", "train"), "b": ("torch", "train"), "augmented": ("train", "augmented")}
HELP = ("cvcourse --help", "cvcourse train --help")
TORCH = importlib.util.find_spec("torch") and importlib.metadata.version("torch")
CLASSES = 10
SETTING = train.Config(model="resnet20", learning_rate=0.1, epochs=1, augment=("crop", "flip"))
MOMENTUM = dict(momentum=0.9, nesterov=True)  # of SETTING's optimizer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    shapes: tuple[str, ...] = recipe.field(
        tuple(SHAPES), "shapes of the images", choices=tuple(SHAPES)
    )
    batch_size: int = recipe.field(128, "batch size", least=1)
    steps: int = recipe.field(10, "number of timed steps per block", least=1)
    rounds: int = recipe.field(20, "number of timed blocks of each contestant", least=1)
    epoch_images: int = recipe.field(
        50_000, "number of images in the epoch of `outside`; 0: skip it", least=0
    )
    output: str = recipe.field("runs/bench.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    races, checks, outside = {}, {}, None
    for name in config.shapes:
        seconds = race(config, SHAPES[name])
        races[name] = {who: timing.quartiles(blocks) for who, blocks in seconds.items()}
        for row in races[name].values():
            row["images_per_second"] = config.batch_size / row["median"]
        for check, (slower, faster) in RATIOS.items():
            found = timing.ratios(seconds, slower, faster)
            checks[f"{check} {name}"] = timing.check(found, at_least=TARGETS[check])
    if config.epoch_images:
        outside = epoch(config, SHAPES[name])
        checks[f"outside {name}"] = timing.check(outside["share"], at_most=TARGETS["outside"])
    for command in HELP:
        process = [sys.executable, "-m", *command.split()]
        run = functools.partial(subprocess.run, process, check=True, capture_output=True)
        seconds = timeit.repeat(run, number=1)
        checks[f"help_seconds {command}"] = timing.check(seconds, at_most=TARGETS["help_seconds"])
    return timing.write_benchmark(
        output,
        config,
        checks=checks,
        load=load,
        versions={"torch": TORCH},
        targets=TARGETS,
        step_seconds=races,
        outside=outside,
    )


def race(config, shape):
    """Time blocks of the contestants in turn: {contestant: seconds (rounds, steps)}."""
    import keras

    from cvcourse import data, optimization
    from cvcourse.training import timing

    size, count = config.batch_size, 1 + config.steps
    split = data.Split(*random_images(count * size, shape))
    ours = train.build(SETTING, data.Dataset(split, split, None, tuple("0123456789")))
    norm = keras.layers.BatchNormalization
    stock = keras.models.clone_model(
        ours,
        clone_function=lambda layer: (norm if isinstance(layer, norm) else type(layer)).from_config(
            layer.get_config()
        ),
    )
    train.compiled(SETTING, ours, count)
    optimization.l2_on_kernels(stock, SETTING.weight_decay)
    stock.compile(
        keras.optimizers.SGD(SETTING.learning_rate, **MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def streamed(augment):
        batches = data.stream(split, batch_size=size, seed=0, augment=augment)
        return lambda: timing.fit_steps(ours, batches, steps_per_epoch=count, shuffle=False)

    arrays = split.images.astype("float32"), split.labels
    contestants = {
        "train": streamed(()),
        "augmented": streamed(SETTING.augment),
        "keras": lambda: timing.fit_steps(stock, *arrays, batch_size=size),
    }
    with timing.torch_process() as there:
        if TORCH:
            contestants["torch"] = lambda: there(torch_block, shape, size, count)
        return timing.take_turns(contestants, config.rounds)


def torch_block(*race):
    """Return the seconds of the next block of torch's steps, without the first."""
    return next(torch_blocks(*race))


@functools.cache  # for the life of the process: all blocks train one network
def torch_blocks(shape, batch_size, count):
    """Train ResNet-20 in torch; yield the seconds of `count` steps without the first, forever."""
    import numpy as np
    import torch

    torch.set_num_threads(os.cpu_count())
    net = torch_resnet20(shape[-1]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), SETTING.learning_rate, weight_decay=SETTING.weight_decay, **MOMENTUM
    )
    images, labels = map(torch.from_numpy, random_images(count * batch_size, shape))
    images = images.permute(0, 3, 1, 2)  # channels_last in memory, as before
    batches = list(zip(images.split(batch_size), labels.long().split(batch_size), strict=True))
    while True:
        ends = []
        for batch, answers in batches:
            logits = net((batch.float() - 127.5) / 73.9)  # the deviation of 0..255
            loss = torch.nn.functional.cross_entropy(logits, answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            ends.append(time.perf_counter())
        yield np.diff(ends)


def torch_resnet20(channels):
    """Build the resnet20 of cvcourse.models in torch: (n, channels, h, w) -> (n, CLASSES)."""
    from torch import nn
    from torch.nn.functional import pad

    class Block(nn.Sequential):
        def forward(self, x):
            y = super().forward(x)
            if new := (y.shape[1] - x.shape[1]) // 2:  # option A
                x = pad(x[..., ::2, ::2], (0, 0, 0, 0, new, new))
            return (y + x).relu_()

    def conv_bn(given, filters, stride=1):
        conv = nn.Conv2d(given, filters, 3, stride, padding=1, bias=False)
        return conv, nn.BatchNorm2d(filters)

    def block(given, filters):
        first = conv_bn(given, filters, stride=1 if given == filters else 2)
        return Block(*first, nn.ReLU(inplace=True), *conv_bn(filters, filters))

    blocks = itertools.starmap(block, itertools.pairwise([16] * 4 + [32] * 3 + [64] * 3))
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)
    return nn.Sequential(*conv_bn(channels, 16), nn.ReLU(inplace=True), *blocks, *head)


def epoch(config, shape):
    """Time one epoch of `train` with its callbacks: seconds, and the share outside of steps."""
    import keras
    import numpy as np

    from cvcourse.training import timing

    images, labels = random_images(round(config.epoch_images / 0.9), shape)  # 10 % are held out
    clock, times = timing.stopwatch()
    fit = keras.Model.fit

    def fit_with_clock(*args, callbacks, **options):
        return fit(*args, callbacks=[clock, *callbacks], **options)

    with tempfile.TemporaryDirectory() as folder:
        path, test = f"{folder}/random.npz", slice(100)
        np.savez(path, x_train=images, y_train=labels, x_test=images[test], y_test=labels[test])
        setting = dict(dataset=path, workdir=f"{folder}/run", batch_size=config.batch_size)
        with mock.patch.object(keras.Model, "fit", fit_with_clock):
            train.main(dataclasses.replace(SETTING, **setting))
    whole, steps, validation = (
        np.subtract(times[f"{span}_end"], times[f"{span}_begin"])
        for span in ("train", "train_batch", "test")
    )
    tracing = steps[0] - np.median(steps)
    seconds = {
        "epoch_seconds": float(whole.sum() - tracing),
        "step_seconds": float(steps.sum() - tracing),
        "validation_seconds": float(validation.sum()),
    }
    whole, *inside = seconds.values()
    return {**seconds, "share": 1 - sum(inside) / whole}


def random_images(count, shape):
    """Return uint8 images (count, *shape), and int32 labels (count,) of all classes."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (count, *shape), "uint8")
    return images, np.arange(count, dtype="int32") % CLASSES


cli = recipe.cli(main, "bench train")


if __name__ == "__main__":
    sys.exit(cli())
