"""Measure how much faster networks are without half of their filters, and with these set to zero.

    cvcourse bench filter_pruning
    cvcourse bench filter_pruning --rounds=3 --networks=resnet20

vgg16_cifar loses half of the filters of each convolution, resnet20 half of those of the first
convolution of each block. Weights are random; compiled functions of the networks take turns.
"""

import dataclasses
import functools
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

KEEP = 0.5
TARGETS = {  # network: {batch size: least ratio of the network's seconds to the smaller one's}
    "vgg16_cifar": {1: 2.0, 64: 3.0},
    "resnet20": {64: 1.3},
}
EQUAL = (0.9, 1.1)  # ratio of seconds if filters are only zero
SHAPE, CLASSES = (32, 32, 3), 10


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks and rounds of the benchmark."""

    networks: tuple[str, ...] = recipe.field(
        tuple(TARGETS), "networks to measure", choices=tuple(TARGETS), distinct=True
    )
    images: int = recipe.field(192, "number of images in a block, at least one batch", least=1)
    rounds: int = recipe.field(7, "number of timed blocks of each network", least=1)
    output: str = recipe.field("runs/bench_filter_pruning.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse import models
    from cvcourse.training import timing

    load = timing.load_average()
    checks, measured = {}, {}
    for name in config.networks:
        nets = forms(name)
        costs = {form: models.cost(net) for form, net in nets.items()}
        measured[name] = {
            form: {"parameters": cost.parameters, "macs": cost.macs, "batches": {}}
            for form, cost in costs.items()
        }
        for batch_size, target in TARGETS[name].items():
            calls = max(1, config.images // batch_size)
            found = timing.take_turns(
                {form: block(net, batch_size, calls) for form, net in nets.items()}, config.rounds
            )
            for form, seconds in found.items():
                row = timing.quartiles(seconds)
                row["images_per_second"] = batch_size / row["median"]
                measured[name][form]["batches"][str(batch_size)] = row
            where = f"{name}, batch {batch_size}: dense"
            same = timing.ratios(found, "dense", "zeroed")
            checks |= {
                f"{where} / pruned": timing.check(
                    timing.ratios(found, "dense", "pruned"), at_least=target
                ),
                f"{where} / zeroed, at least": timing.check(same, at_least=EQUAL[0]),
                f"{where} / zeroed, at most": timing.check(same, at_most=EQUAL[1]),
            }
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions={}, networks=measured
    )


def forms(name):
    """Return {form: network} with random weights: dense, zeroed and pruned."""
    from cvcourse import compression, models
    from cvcourse.compression.filter_pruning import tied_layers

    net = models.build(name, input_shape=SHAPE, num_classes=CLASSES)
    skip = tied_layers(net)
    return {
        "dense": net,
        "zeroed": compression.zero_filters(net, KEEP, skip=skip),
        "pruned": compression.prune_filters(net, KEEP, skip=skip),
    }


def block(net, batch_size, count):
    """Return a function () -> seconds of each of `count` calls of a compiled network."""
    import numpy as np
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).normal(size=(batch_size, *SHAPE)), tf.float32)
    call = tf.function(functools.partial(net, training=False), autograph=False)

    def timed():
        seconds = []
        for _ in range(count):
            begin = time.perf_counter()
            call(images).numpy()
            seconds.append(time.perf_counter() - begin)
        return seconds

    return timed


cli = recipe.cli(main, "bench filter_pruning")


if __name__ == "__main__":
    sys.exit(cli())
