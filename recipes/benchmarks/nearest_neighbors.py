"""Search nearest neighbors, compared with the full search of scikit-learn.

    cvcourse bench nearest_neighbors
    cvcourse bench nearest_neighbors --queries=5000 --rounds=1 --data_dir=PATH

Float32 images of CIFAR-10, or smooth random images if it is not found. Both searches run in turn on
all cores and find the same distances. The time of a query is nearly independent of their number,
so the default measures few. `fit`, once for all queries, is timed separately.
"""

import dataclasses
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

TARGETS = {"l1": 3.0, "l2": 1.0}  # metric: how many times as fast as scikit-learn
NAMES = {"l1": "manhattan", "l2": "euclidean"}  # scikit-learn has fast code for these names
SIDE = 32  # pixels


@dataclasses.dataclass(frozen=True)
class Config:
    """Images, neighbors and rounds of the benchmark."""

    queries: int = recipe.field(100, "number of test images to classify", least=1)
    images: int = recipe.field(50_000, "number of training images", least=1)
    k: int = recipe.field(10, "number of neighbors", least=1)
    rounds: int = recipe.field(3, "number of timed searches of each contestant", least=1)
    data_dir: str | None = recipe.field(None, "folder searched first for CIFAR-10")
    memory: int = recipe.field(2**28, "bytes of working memory of our search", least=1, below=2**40)
    output: str = recipe.field("runs/bench_nearest_neighbors.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    import sklearn

    from cvcourse.training import timing

    load = timing.load_average()
    where, train, labels, test = images(config)
    seconds, fits, checks, same = {}, {}, {}, {}
    for metric, target in TARGETS.items():
        seconds[metric], fits[metric], same[metric] = race(config, metric, train, labels, test)
        found = timing.ratios(seconds[metric], "scikit-learn", "ours")
        checks[f"{metric}: scikit-learn / ours"] = timing.check(found, at_least=target)
    return timing.write_benchmark(
        output,
        config,
        checks=checks,
        load=load,
        versions={"scikit-learn": sklearn.__version__},
        images=where,
        queries_and_rows=[len(test), len(train)],
        fit_seconds=fits,
        equal_predictions=same,
        milliseconds_per_query={
            metric: {who: timing.quartiles(1e3 * times / len(test)) for who, times in rows.items()}
            for metric, rows in seconds.items()
        },
    )


def images(config):
    """Return the images' name, training images (n, 3072), their labels, and test images."""
    import numpy as np
    from PIL import Image

    from cvcourse import data

    try:
        dataset = data.load("cifar10", data_dir=config.data_dir)
        train, test = dataclasses.replace(dataset, test=None).whole().train, dataset.test
        x, labels, queries = train.images, train.labels, test.images
        where = "CIFAR-10"
    except data.DataError:
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (config.images + config.queries, 6, 6, 3), "uint8")
        size = (SIDE, SIDE)
        x = np.stack([Image.fromarray(one).resize(size, Image.BICUBIC) for one in coarse])
        x, queries = x[: config.images], x[config.images :]
        labels = rng.integers(0, 10, len(x))
        where = "smooth random images"
    x, queries = x[: config.images], queries[: config.queries]
    with recipe.user_errors():
        if config.k > len(x):
            raise ValueError(f"--k={config.k} is above the {len(x):,} training images")
    x, queries = (part.reshape(len(part), -1).astype("float32") for part in (x, queries))
    return where, x, labels[: len(x)], queries


def race(config, metric, train, labels, test):
    """Measure a metric: seconds of the searches and of our fit, and share of equal predictions."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from cvcourse.classic.nearest_neighbors import KNearestNeighbors, majority
    from cvcourse.errors import RunError
    from cvcourse.training import timing

    begin = time.perf_counter()
    ours = KNearestNeighbors(config.k, metric, memory=config.memory).fit(train, labels)
    fit_seconds = time.perf_counter() - begin
    theirs = NearestNeighbors(
        n_neighbors=config.k, algorithm="brute", metric=NAMES[metric], n_jobs=-1
    ).fit(train)
    found = {}

    def timed(name, search):
        def block():
            begin = time.perf_counter()
            found[name] = search(test)
            return [time.perf_counter() - begin]

        return block

    seconds = timing.take_turns(
        {
            "scikit-learn": timed("scikit-learn", theirs.kneighbors),
            "ours": timed("ours", ours.neighbors),
        },
        config.rounds,
    )
    (ours, our_rows), (theirs, their_rows) = found["ours"], found["scikit-learn"]
    if not np.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * ours.max()):
        raise RunError(f"{metric}: the distances differ by {abs(ours - theirs).max()}")
    same = majority(labels[our_rows]) == majority(labels[their_rows])  # but for ties
    return seconds, fit_seconds, float(same.mean())


cli = recipe.cli(main, "bench nearest_neighbors")


if __name__ == "__main__":
    sys.exit(cli())
