"""Show a dataset in a network's codes: nearest neighbors, PCA, t-SNE and a grid of thumbnails.

    cvcourse embed digits --model=runs/train/digits
    cvcourse embed photos/ --model=mobilenet_v2

DATASET is a dataset of `train`. The code of an image is the input of the network's classifier, or
the output of another layer. The report shows the nearest neighbors of images in pixels and in
codes, maps of the codes by PCA and t-SNE, and the t-SNE map as a grid. metrics.json has the share
of neighbors that have the label of the image, in pixels and in codes. Each image is compared with
all others of the split.

Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
https://papers.nips.cc/paper/4824, figure 4; Karpathy's t-SNE of CNN codes,
https://cs.stanford.edu/people/karpathy/cnnembed/.
"""

import dataclasses
import itertools
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly

BATCH = 128  # photos decoded at once
TINY = 32  # side of the images whose pixels are compared, that of CIFAR-10
CELLS, SIDE = 256, 64  # of the grid: number of images, and side of a thumbnail in pixels


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.WeightsFields):
    """Dataset, and the model whose codes are shown."""

    dataset: str = recipe.field(
        "digits",
        "dataset: digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder of images "
        "or an .npz file",
        positional=True,
    )
    data_dir: str | None = recipe.field(
        None, "folder searched first for published datasets", free=True
    )
    limit: int | None = recipe.field(
        1_000, "number of examples per split, stratified by class; none: all", least=2
    )
    split: str = recipe.field(
        "validation",
        "split whose images are shown; all: one of all images",
        choices=("validation", "train", "test", "all"),
    )
    model: str = recipe.field(
        "mobilenet_v2",
        "network with published weights, run directory, or .keras file",
    )
    model_args: dict = recipe.field({}, "arguments of the model's builder, such as width=0.25")
    layer: str | None = recipe.field(
        None,
        "layer whose output, averaged over its places, is the code; none: the classifier's input",
    )
    seed: int = recipe.field(0, "random seed of the t-SNE map", least=0, below=2**32)


def main(config: Config) -> dict:
    """Compute the codes of a dataset's images, and write the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json.

    Raises:
        UsageError: For a wrong value, a split or layer that does not exist, or the workdir of
            another run.
        RunError: If data, model or files cannot be read or written.
    """
    config, metrics = recipe.begin(config, "embed")
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import classifier, training, visualization

    with recipe.user_errors():
        trained = classifier.of(config, named=False)
        split, names = load_split(config, trained.model)
        visualization.codes(trained.model, split.images[:1], config.layer)  # fail early
    model, dataset = trained.title, pathlib.Path(config.dataset).stem
    print(f"model: {trained.source}", f"images: {len(split):,} of {config.dataset}", sep="\n")
    with recipe.open_run(config, "embed", model.replace(".", "-"), dataset) as run:
        run.begin()
        batches = (split.images[i : i + BATCH] for i in range(0, len(split), BATCH))
        codes = [visualization.codes(trained.model, batch, config.layer) for batch in batches]
        spaces = {"pixels": pixels(split), "codes": np.concatenate(codes)}
        count = min(training.NEIGHBORS, len(split) - 1)
        found = {space: neighbors_of_each(vectors, count) for space, vectors in spaces.items()}
        agreement = {space: agreements(order, split.labels) for space, order in found.items()}
        agreement["chance"] = [chance(split.labels)] * 2
        return training.write_report(
            run.path,
            metrics={
                "images": len(split),
                "code_size": spaces["codes"].shape[1],
                "neighbors": count,
                "label_agreement": {space: share for space, (_, share) in agreement.items()},
                "nearest_label_agreement": {
                    space: share for space, (share, _) in agreement.items()
                },
                "seed": config.seed,
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"{dataset} in the codes of {model}",
            lead=[
                f"The code of an image is the {spaces['codes'].shape[1]:,} numbers that "
                f"{config.layer or 'the classifier'} {'outputs' if config.layer else 'receives'}. "
                "Images that are close in pixels have similar colors in the same places; images "
                "that are close in codes are similar to the network.",
            ],
            config={"source": trained.source, **dataclasses.asdict(run.config)},
            tables={"Neighbors with the label of the image": table(agreement, count)},
            sections=[
                {
                    "caption": "Nearest neighbors in pixels, and in codes",
                    "gallery": gallery(split, found, names),
                },
                *maps(split, spaces["codes"], names, config.seed),
            ],
        )


def load_split(config, model):
    """Return the split, with images that the model takes, and the names of the classes."""
    from cvcourse import data, evaluation_split

    dataset = data.load(
        config.dataset,
        data_dir=config.data_dir,
        limit=config.limit,
        whole=config.split == "all",
    )
    split = dataset.train if config.split == "all" else getattr(dataset, config.split)
    if not split:
        raise UsageError(f"{config.dataset} has no {config.split} split: use --split=all")
    if len(split) < 2:
        raise UsageError(f"{config.dataset} has one image, and no neighbors of it")
    return evaluation_split.to_input_shape(model, split), dataset.class_names


def pixels(split):
    """Return the pixels of small versions of the images: (n, numbers) float32."""
    from cvcourse import data

    _, height, width, channels = split.images.shape
    if max(height, width) > TINY:
        split = data.to_shape(split, TINY, TINY, channels)
    return split.images[:].reshape(len(split), -1).astype("float32")


def neighbors_of_each(vectors, count):
    """Return the nearest neighbors (n, count) of each vector among the others."""
    import numpy as np

    from cvcourse import visualization

    order = visualization.neighbors(vectors, vectors, count=count + 1)
    itself = order == np.arange(len(order))[:, None]
    itself[~itself.any(axis=1), -1] = True  # equal images come before it
    return order[~itself].reshape(len(order), count)


def agreements(order, labels):
    """Return the share of nearest, and of all neighbors, that have the label of the image."""
    same = labels[order] == labels[:, None]
    return [float(same[:, 0].mean()), float(same.mean())]


def chance(labels):
    """Return the share of pairs of images that have the same label."""
    import numpy as np

    counts, n = np.bincount(labels), len(labels)
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))


def table(agreement, count):
    """Return the rows of a table of shares, with bars."""
    rows = [
        [space, *((share, f"{share:.1%}") for share in two)] for space, two in agreement.items()
    ]
    return [["neighbors in", "nearest", f"{count} nearest"], *rows]


def gallery(split, found, names):
    """Return two rows for each of some images: neighbors in pixels, and in codes."""
    from cvcourse import training

    few = training.evenly_spaced(len(split), training.ASKED)
    rows = [
        training.neighbors_gallery(
            split.take(few), split, order[few], names, f"neighbors in {space}"
        )
        for space, order in found.items()
    ]
    return [*itertools.chain(*zip(*rows, strict=True))]


def maps(split, codes, names, seed):
    """Return the sections with the maps of the codes."""
    from cvcourse import figures, training, visualization

    shown = training.evenly_spaced(len(split), training.MAX_POINTS)
    some = split.take(shown)
    points = {"PCA": visualization.pca_map(codes[shown])}
    points["t-SNE"] = visualization.tsne_map(codes[shown], seed)
    cells = training.evenly_spaced(len(some), CELLS)
    grid = visualization.grid_of_thumbnails(
        points["t-SNE"][cells], some.take(cells).images[:], SIDE
    )
    grid[::SIDE] = grid[:, ::SIDE] = 255  # lines between images
    return [
        *(
            {
                "caption": f"Map of the codes: {method}",
                "figure": figures.feature_map(two, some.labels, some.images, names),
                "wide": True,
            }
            for method, two in points.items()
        ),
        {
            "caption": f"The t-SNE map as a grid, {len(cells):,} images",
            "picture": grid,
            "wide": True,
        },
    ]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
