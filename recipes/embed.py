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
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly

BATCH = 128  # photos decoded at once
TINY = 32  # side of the images whose pixels are compared, that of CIFAR-10


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.ClassifierFields):
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
        "split whose images are shown; all: the images of all splits",
        choices=("validation", "train", "test", "all"),
    )
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
        codes = np.concatenate(codes)
        count = min(training.NEIGHBORS, len(split) - 1)
        found = {
            "pixels": training.neighbors_of_each(pixels(split), count),
            "codes": training.neighbors_of_each(codes, count),
        }
        nearest, every = training.label_agreement(found, split.labels)
        given = f"{config.layer} outputs" if config.layer else "the classifier receives"
        return training.write_report(
            run.path,
            metrics={
                "images": len(split),
                "code_size": codes.shape[1],
                "neighbors": count,
                "label_agreement": every,
                "nearest_label_agreement": nearest,
                "seed": config.seed,
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"Images of {dataset} in feature space: {model}",
            lead=[
                f"The code of an image is the {codes.shape[1]:,} numbers that {given}. Images that "
                "are close in pixels have similar colors in the same places; images that are close "
                "in codes have similar features.",
            ],
            config={"source": trained.source, **dataclasses.asdict(run.config)},
            sections=training.embedding_sections(split, codes, found, names, config.seed),
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
    if len(split or ()) < 2:
        raise UsageError(
            f"{config.dataset} has {len(split or ())} images in its {config.split} split, and "
            "neighbors need two or more: use --split=all"
        )
    return evaluation_split.to_input_shape(model, split), dataset.class_names


def pixels(split):
    """Return the pixels of small versions of the images: (n, numbers) float32."""
    from cvcourse import data

    _, height, width, channels = split.images.shape
    if max(height, width) > TINY:
        split = data.to_shape(split, TINY, TINY, channels)
    return split.images[:].reshape(len(split), -1).astype("float32")


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
