"""Classify images by their nearest neighbors in pixels, with k chosen by cross-validation.

    cvcourse nearest_neighbors
    cvcourse nearest_neighbors --dataset=cifar10 --limit=5000 --test_limit=500
    cvcourse nearest_neighbors --dataset=cifar10 --ks=1 --seeds=0

The first experiment of the course: L1 and L2 distances of raw pixels. CS231n notes,
https://cs231n.github.io/classification, and assignment 1. Cross-validation on the training images
chooses k; the test images are classified once, after this choice. Training images include those
that other recipes hold out for validation. With --recompress, the images are also encoded as JPEG,
to estimate by how much a lossy copy of a dataset changes the accuracy. report.html in the run
directory has tables and pictures, metrics.json the numbers.
"""

import dataclasses
import io
import math
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

METRICS = ("l1", "l2")
PUBLISHED = {  # (dataset, training images, test images, row): (accuracy, source)
    ("cifar10", 50_000, 10_000, "l1, k = 1"): (0.386, "notes"),
    ("cifar10", 50_000, 10_000, "l2, k = 1"): (0.354, "notes"),
    ("cifar10", 5_000, 500, "l2, k = 1"): (0.27, "assignment 1"),
    ("cifar10", 5_000, 500, "l2, best k"): (0.28, "assignment 1"),
}
QUERIES, NEIGHBORS = 6, 7  # test images in the report, and neighbors of each
MATRIX = (100, 500)  # test and training images in the picture of the distances


@dataclasses.dataclass(frozen=True)
class Config(recipe.SeedsFields, recipe.DataFields):
    """Settings of the experiment."""

    limit: int | None = recipe.field(
        None, "number of training images, drawn with the seed; none: all", least=1
    )
    test_limit: int | None = recipe.field(
        None, "number of test images, drawn with the seed; none: all", least=1
    )
    metrics: tuple[str, ...] = recipe.field(
        METRICS, "distances to compare", choices=METRICS, distinct=True
    )
    ks: tuple[int, ...] = recipe.field(
        (1, 3, 5, 8, 10, 12, 15, 20, 50, 100),  # the assignment's
        "numbers of neighbors to choose from; a single one is used without cross-validation",
        least=1,
        distinct=True,
    )
    folds: int = recipe.field(5, "number of folds of the cross-validation", least=2)
    recompress: int | None = recipe.field(
        None,
        "JPEG quality of another comparison, with re-encoded images; none: no",
        least=1,
        below=101,
    )


def main(config: Config) -> dict:
    """Choose k, classify the test images, and write the report.

    Args:
        config: Config.

    Returns:
        The metrics.
    """
    config, metrics = recipe.begin(config, "nearest_neighbors")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import data

    with recipe.user_errors():
        dataset = data.load(config.dataset, data_dir=config.data_dir)
        if not dataset.test:
            raise ValueError(f"{config.dataset} has no test images")
        splits = dataclasses.replace(dataset, test=None).whole().train, dataset.test
        check(config, *splits)
    with recipe.open_run(config, "nearest_neighbors", config.dataset) as run:
        run.begin()
        found = []
        for seed in config.all_seeds:
            train, test = (
                drawn(split, limit, seed)
                for split, limit in zip(splits, (config.limit, config.test_limit), strict=True)
            )
            print(f"seed {seed}: {len(train):,} training, {len(test):,} test images", flush=True)
            found.append(
                {metric: experiment(config, metric, train, test) for metric in config.metrics}
            )
        return report(run, config, found, train, test, dataset.class_names)


def check(config, train, test):
    """Refuse numbers that the images do not allow, with ValueError."""
    count = min(config.limit or len(train), len(train))
    several = len(config.ks) > 1
    if several and config.folds > count:
        raise ValueError(f"--folds={config.folds} is above the {count:,} training images")
    least = count - -(-count // config.folds) if several else count
    if max(config.ks) > least:
        where = " outside a fold" if several else ""
        raise ValueError(f"--ks has {max(config.ks)}, above the {least:,} training images{where}")
    if config.recompress and train.images.shape[-1] not in (1, 3):
        raise ValueError(
            f"--recompress needs gray or RGB images; received {train.images.shape[1:]}"
        )


def drawn(split, limit, seed):
    """Return `limit` images of a split in a random order, decoded."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(split))[:limit]
    return dataclasses.replace(split, images=split.images[order], labels=split.labels[order])


def experiment(config, metric, train, test):
    """Choose k on the training images, and classify the test images: a dict of results."""
    from cvcourse.classic.nearest_neighbors import cross_validate

    folds = {}
    if len(config.ks) > 1:
        ks = sorted(config.ks)
        folds = cross_validate(train.images, train.labels, ks, config.folds, metric)
    best = max(
        folds, key=lambda k: math.fsum(folds[k]), default=config.ks[0]
    )  # of equal ones, the first
    ks = sorted({1, best})
    accuracies, nearest = classify(train, test, metric, ks)
    print(f"{metric}: " + ", ".join(f"k = {k}: {accuracies[k]:.4f}" for k in ks), flush=True)
    found = {"best": best, "folds": folds, "accuracies": accuracies, "nearest": nearest}
    if config.recompress:
        again = (recompressed(split, config.recompress) for split in (train, test))
        found["recompressed"], _ = classify(*again, metric, ks)
    return found


def classify(train, test, metric, ks):
    """Classify the test images: {k: accuracy}, and training images near some test images."""
    from cvcourse.classic.nearest_neighbors import KNearestNeighbors, majority

    model = KNearestNeighbors(max(*ks, min(NEIGHBORS, len(train))), metric)
    _, rows = model.fit(train.images, train.labels).neighbors(test.images)
    labels = train.labels[rows]
    accuracies = {k: float((majority(labels[:, :k]) == test.labels).mean()) for k in ks}
    return accuracies, rows[:QUERIES, :NEIGHBORS]


def recompressed(split, quality):
    """Return a split with images encoded as JPEG, with halved resolution of the colors."""
    import numpy as np
    from PIL import Image

    def encoded(image):
        with io.BytesIO() as file:
            gray = image.shape[-1] == 1
            picture = Image.fromarray(image[..., 0] if gray else image)
            picture.save(file, "jpeg", quality=quality, **({} if gray else {"subsampling": 2}))
            return np.asarray(Image.open(file)).reshape(image.shape)

    images = np.clip(np.rint(split.images), 0, 255).astype("uint8")
    return dataclasses.replace(split, images=np.stack([*map(encoded, images)]))


def report(run, config, found, train, test, names):
    """Write the report of the seeds' results; the pictures are of the last seed."""
    import numpy as np

    from cvcourse import figures, training
    from cvcourse.classic.distances import compute_distances_no_loops

    rows, folds = {}, {}
    for metric in config.metrics:
        results = [result[metric] for result in found]
        best = [result["best"] for result in results]
        chosen = "best k" if len(config.ks) > 1 else f"k = {best[0]}"
        rows[f"{metric}, k = 1"] = row(results, [1] * len(best))
        rows[f"{metric}, {chosen}"] = row(results, best)
        if len(config.ks) > 1:
            folds[metric] = {
                k: [value for result in results for value in result["folds"][k]]
                for k in sorted(config.ks)
            }
    for name in rows:
        key = (config.dataset, len(train), len(test), name)
        rows[name]["published"], rows[name]["source"] = PUBLISHED.get(key, (None, None))
    sections = [{"caption": "Test accuracy", "table": [*table(rows)]}]
    for line in sections[0]["table"]:
        print(*(f"{cell:>16}" for cell in line))
    if folds:
        sections.append(
            {
                "caption": "Choice of k",
                "paragraphs": [
                    f"{config.folds}-fold cross-validation on the training images: a dot for each "
                    "fold and seed, means, and standard deviations."
                ],
                "figure": figures.cross_validated_accuracy(folds),
                "wide": True,
            }
        )
    for metric in config.metrics:
        nearest = found[-1][metric]["nearest"]
        sections.append(
            {
                "caption": f"{metric}: test images, and their nearest training images",
                "paragraphs": ["Green: a neighbor of the right class."],
                "figure": figures.image_neighbors(
                    test.images[: len(nearest)],
                    train.images[nearest],
                    [names[label] for label in test.labels[: len(nearest)]],
                    [[names[label] for label in labels] for labels in train.labels[nearest]],
                ),
                "wide": True,
            }
        )
    few, many = (
        split.take(np.argsort(split.labels[:count], kind="stable"))
        for split, count in zip((test, train), MATRIX, strict=True)
    )
    pixels = (np.reshape(split.images, (len(split), -1)).astype(float) for split in (few, many))
    sections.append(
        {
            "caption": "L2 distances",
            "paragraphs": [
                "Each row is a test image, each column a training image, both sorted by class; "
                "near is dark. A dark column is near to many images, whatever they show, and a "
                "pale row is far from all."
            ],
            "figure": figures.distance_matrix(compute_distances_no_loops(*pixels)),
        }
    )
    return training.write_report(
        run.path,
        title=f"Nearest neighbors: {config.dataset}",
        metrics={
            "rows": rows,
            "folds": {
                metric: {str(k): values for k, values in rows.items()}
                for metric, rows in folds.items()
            },
            "training_images": len(train),
            "test_images": len(test),
            "seeds": [*config.all_seeds],
        },
        lead=lead(config, train, test),
        sections=sections,
        config=dataclasses.asdict(run.config),
    )


def lead(config, train, test):
    """Return the first paragraphs of the report."""
    count = len(config.all_seeds)
    lines = [
        f"{len(train):,} training and {len(test):,} test images, compared pixel by pixel; "
        + (f"mean ± standard deviation over {count} seeds." if count > 1 else "one seed.")
    ]
    if config.recompress:
        lines.append(
            f"Re-encoded: all images encoded once more as JPEG of quality {config.recompress}. The "
            "difference estimates what an earlier encoding has changed; if the images are JPEGs of "
            "this quality already, another encoding changes less than the first one."
        )
    return lines


def row(results, ks):
    """Return a row of the table: accuracies over the seeds, and the k of each."""
    from cvcourse.training.comparison import mean_and_std

    pairs = [*zip(results, ks, strict=True)]
    found = {"k": ks, "accuracy": mean_and_std(result["accuracies"][k] for result, k in pairs)}
    if all("recompressed" in result for result in results):
        found["recompressed"] = mean_and_std(result["recompressed"][k] for result, k in pairs)
        found["change"] = mean_and_std(
            result["recompressed"][k] - result["accuracies"][k] for result, k in pairs
        )
    return found


def table(rows):
    """Format the rows as texts, titles first."""
    columns = {"accuracy": "accuracy, %", "recompressed": "re-encoded, %", "change": "change"}
    columns = {key: title for key, title in columns.items() if key in next(iter(rows.values()))}
    known = any(found["published"] for found in rows.values())
    yield ["", "k", *columns.values(), *["published, %"] * known]
    for name, found in rows.items():
        ks = ", ".join(map(str, dict.fromkeys(found["k"])))
        value = found["published"]
        published = "–" if value is None else f"{100 * value:g}, {found['source']}"
        yield [name, ks, *(percent(found[key]) for key in columns), *[published] * known]


def percent(values):
    """Format mean and standard deviation in percent."""
    from cvcourse.training import comparison

    return comparison.with_std(values, 100, 1)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
