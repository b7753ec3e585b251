"""Write and read a compressed file of ten million weights, compared with gzip and xz.

    cvcourse bench compression
    cvcourse bench compression --density=0.05 --centroids=16

The weights of a dense layer are drawn from a normal distribution, pruned, and shared. gzip and xz
compress the pruned weights in float32.
"""

import dataclasses
import gzip
import lzma
import math
import pathlib
import sys
import tempfile
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

SECONDS = 2.0  # to write or read ten million weights
TIMES_SMALLER = 4.0  # than xz


@dataclasses.dataclass(frozen=True)
class Config:
    """Weights and rounds of the benchmark."""

    weights: int = recipe.field(10_000_000, "number of weights, about", least=100)
    density: float = recipe.field(0.11, "part of the weights that is kept", above=0, below=1)
    centroids: int = recipe.field(32, "number of distinct weights", least=2, below=257)
    rounds: int = recipe.field(5, "number of timed rounds", least=1)
    output: str = recipe.field("runs/bench_compression.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse.compression import compressed_file
    from cvcourse.training import timing

    load = timing.load_average()
    model, pruned = compressed_layer(config)
    weights = model.weights[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.cvz")

        def write():
            begin = time.perf_counter()
            compressed_file.write(model, path)
            return [time.perf_counter() - begin]

        def read():
            begin = time.perf_counter()
            again = compressed_file.read(path)
            seconds = time.perf_counter() - begin
            assert np.array_equal(again.weights[0].numpy(), weights)
            return [seconds]

        seconds = timing.take_turns({"write": write, "read": read}, config.rounds)
        (size,) = compressed_file.sizes(path)
        file_bytes = path.stat().st_size
    sizes = {
        "float32": pruned.nbytes,
        "gzip": len(gzip.compress(pruned.tobytes(), 9)),
        "xz": len(lzma.compress(pruned.tobytes())),
        "file": file_bytes,
    }
    checks = {
        f"seconds to {name}": timing.check(times.ravel(), at_most=SECONDS)
        for name, times in seconds.items()
    }
    checks["xz / file"] = timing.check([sizes["xz"] / file_bytes], at_least=TIMES_SMALLER)
    return timing.write_benchmark(
        output,
        config,
        checks=checks,
        load=load,
        versions={},
        seconds={name: timing.quartiles(times) for name, times in seconds.items()},
        bytes=sizes,
        tensor=dataclasses.asdict(size),
    )


def compressed_layer(config):
    """Return a model of one dense layer with pruned and shared weights, and the pruned weights."""
    import keras
    import numpy as np

    side = math.isqrt(config.weights)
    weights = np.random.default_rng(0).standard_normal((side, side), "float32")
    threshold = np.quantile(np.abs(weights), 1 - config.density)
    pruned = np.where(np.abs(weights) > threshold, weights, np.float32(0))
    centroids = np.linspace(pruned.min(), pruned.max(), config.centroids, dtype="float32")
    between = (centroids[1:] + centroids[:-1]) / 2
    shared = centroids[np.searchsorted(between, pruned)]
    model = keras.Sequential([keras.Input((side,)), keras.layers.Dense(side, use_bias=False)])
    model.weights[0].assign(np.where(pruned != 0, shared, 0))
    return model, pruned


cli = recipe.cli(main, "bench compression")


if __name__ == "__main__":
    sys.exit(cli())
