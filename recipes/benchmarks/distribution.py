"""Cost of a strategy: mirrored on one device against none, two workers against one process.

    cvcourse bench distribution

Steps of `none` and `mirrored` take turns in one process, on the same device and stream. The workers
are two processes on this machine that share a batch over the loopback address, and take turns with
runs of one process. On few cores they cannot be faster; they show the cost of communication.
"""

import dataclasses
import functools
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile

from cvcourse.recipes import train

from cvcourse import distribution, recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

TARGET = 1.05  # of the time of a step without a strategy


@dataclasses.dataclass(frozen=True)
class Config:
    """Model, dataset, and number of measurements."""

    model: str = recipe.field("resnet20", "network of cvcourse.models.REGISTRY")
    dataset: str = recipe.field("digits", "dataset, as for `train`")
    batch_size: int = recipe.field(128, "batch size", least=2)
    steps: int = recipe.field(12, "number of timed steps per block", least=2)
    rounds: int = recipe.field(7, "number of timed blocks of each strategy", least=1)
    runs: int = recipe.field(
        3, "number of runs of two workers, and of one process; 0: skip them", least=0
    )
    epochs: int = recipe.field(3, "number of epochs of such a run", least=1)
    output: str = recipe.field("runs/bench_distribution.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    seconds = timing.take_turns(contestants(config), config.rounds)
    shares = timing.ratios(seconds, "mirrored", "none")
    checks = {"mirrored on one device / none": timing.check(shares, at_most=TARGET)}
    rates = {
        who: timing.quartiles(config.batch_size / times.ravel()) for who, times in seconds.items()
    }
    rates |= {who: timing.quartiles(values) for who, values in processes(config).items() if values}
    for who, row in rates.items():
        print(f"{who}: {row['median']:.0f} images per second")
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions={}, images_per_second=rates
    )


def contestants(config):
    """Prepare the strategies: {strategy: function () -> seconds of a block's steps}."""
    import keras

    from cvcourse.training import timing

    found = {}
    for strategy in ("none", "mirrored"):
        wanted = {"model": config.model, "dataset": config.dataset, "batch_size": config.batch_size}
        setting = train.Config(**wanted, strategy=strategy)
        dataset = train.dry_run([setting])
        keras.utils.set_random_seed(0)
        setting, model = train.build_and_compile(setting, dataset)
        batches = distribution.of(setting).feed(
            functools.partial(train.stream, setting, dataset, dataset.train)
        )
        options = {"steps_per_epoch": config.steps + 1, "shuffle": False}
        found[strategy] = functools.partial(timing.fit_steps, model, batches, **options)
    return found


def processes(config):
    """Train in one process and in two: {name: images per second of each run}."""
    rates = {"one process": [], "two workers": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(config.runs):
            for name, count in (("one process", 1), ("two workers", 2)):
                rates[name].append(rate_of(config, pathlib.Path(folder) / f"{i}-{count}", count))
    return rates


def rate_of(config, folder, count):
    """Measure the images per second of a training run by `count` processes."""
    flags = [f"--{name}={getattr(config, name)}" for name in ("model", "dataset", "epochs")]
    flags += [f"--batch_size={config.batch_size}", f"--workdir={folder}", "--no-test"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "cvcourse", "train", *flags],
            env={**os.environ, "TF_CONFIG": described, "KERAS_BACKEND": "tensorflow"},
            **quiet,
        )
        for described in tf_configs(loopback(count))
    ]
    codes = [process.wait() for process in started]
    if any(codes):
        raise RunError(f"a run of {count} processes failed: cvcourse train {shlex.join(flags)}")
    return json.loads((folder / "metrics.json").read_text())["images_per_second"]


def loopback(count):
    """Return HOST:PORT of `count` free ports of this machine."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return [f"127.0.0.1:{port}" for port in ports]


def tf_configs(addresses):
    """Return the TF_CONFIG of the worker at each address."""
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        for index in range(len(addresses))
    ]


cli = recipe.cli(main, "bench distribution")


if __name__ == "__main__":
    sys.exit(cli())
