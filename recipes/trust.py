"""Test on labeled photos how far the maps of attribution methods can be trusted.

    cvcourse trust imagenet_folder/ --model=mobilenet_v2
    cvcourse trust digits --model=runs/train/digits --methods=grad_cam,occlusion,guided_backprop

The photos are those that the model classifies correctly with a high probability, in random order.
The report and metrics.json have a row per method: grid pointing game, deletion and insertion beside
those of random maps, completeness, and the rank correlation after the kernels are shuffled. Methods
that do not fit the model are named with the reason. DATASET is a dataset of `train`; of a folder
PATH/CLASS/*.jpg, classes are matched by name, ImageNet's also by WordNet id (n01440764).
"""

import dataclasses
import functools
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError, pick
from cvcourse.startup import import_tensorflow_quietly

METHODS = ("grad_cam", "occlusion", "saliency", "integrated_gradients", "guided_backprop")
CHANCE = 0.25  # share and hits of a map that ignores the class
SHARE = "share in quarter"
HITS = "strongest pixel"
COLUMNS = {  # of the table: metric
    SHARE: "grid_share",
    HITS: "grid_hits",
    "deletion": "deletion",
    "insertion": "insertion",
    "logits shuffled": "randomized_logits",
    "all shuffled": "randomized_all",
    "completeness": "completeness",
}
GRIDS = (
    f"{SHARE.capitalize()}: four photos of different classes make one image; share of the positive "
    f"attribution of a class that is on its photo. {HITS.capitalize()}: how often the strongest "
    f"pixel is there. A map that ignores the class has {CHANCE} in both. Böhle et al. 2021, "
    "https://arxiv.org/abs/2104.00032; Rao et al. 2022, https://arxiv.org/abs/2205.10435."
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.ClassifierFields):
    """Photos, model and methods."""

    dataset: str = recipe.field(
        "",
        "dataset: digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder of images "
        "or an .npz file",
        positional=True,
    )
    methods: tuple[str, ...] = recipe.field(
        METHODS, "methods of cvcourse.visualization.METHODS", distinct=True
    )
    grids: int = recipe.field(24, "number of images of four photos", least=1)
    photos: int = recipe.field(16, "number of photos of the other tests", least=1)
    probability: float = recipe.field(
        0.5, "least probability of the true class of a photo that is used", least=0, below=1
    )  # Böhle et al. 2021: a confidence above 50 %
    steps: int = recipe.field(32, "number of steps of deletion and insertion", least=1)
    data_dir: str | None = recipe.field(
        None, "folder searched first for published datasets", free=True
    )
    split: str = recipe.field(
        "auto",
        "split of the photos; auto: the test split, or all images of a folder that the model was "
        "not trained on",
        choices=("auto", "train", "validation", "test", "all"),
    )
    seed: int = recipe.field(
        0,
        "random seed of the photos, the shuffled kernels and the random maps",
        least=0,
        below=2**32,
    )


def main(config: Config) -> dict:
    """Choose photos, test the methods, and write the table and the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json.

    Raises:
        UsageError: For a wrong value, or if no method fits the model.
        RunError: If data or the model cannot be read, or too few photos are classified correctly.
    """
    config, metrics = recipe.begin(config, "trust")
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    from cvcourse import classifier, data, evaluation_split, training, visualization

    with recipe.user_errors():
        loaded = classifier.of(config, named=False)
        chosen = evaluation_split.choose(
            loaded, config.dataset, config.split, data_dir=config.data_dir
        )
        classes = len(set(chosen.examples.labels.tolist()))
        if classes < 4:
            raise UsageError(
                f"{config.dataset} has images of {classes} classes; four photos of different "
                "classes make an image"
            )
        see, model = classifier.without_resizing(loaded.model)
        chosen_methods = {
            name: pick("method", name, visualization.METHODS) for name in config.methods
        }
    print(f"model: {loaded.source}", *chosen.notes, sep="\n", flush=True)
    title, dataset = loaded.title, pathlib.Path(config.dataset).stem
    with (
        recipe.open_run(config, "trust", title.replace(".", "-"), dataset) as run,
        data.report_corrupt_images(data.Dataset(chosen.examples, None, None, chosen.class_names)),
    ):
        run.begin()
        photos, classes = confident_photos(config, chosen.examples, see, model)
        print(f"{len(photos) // 4} images of four photos", flush=True)
        methods = {name: scores(one, photos.shape[1:3]) for name, one in chosen_methods.items()}
        pointing, unfit = {}, {}
        for name, method in methods.items():
            try:
                found = visualization.grid_pointing(model, method, photos, classes)
            except ValueError as error:
                unfit[name] = str(error)
                print(f"{name}: {error}", flush=True)
                continue
            pointing[name] = float(found.shares.mean()), float(found.hits.mean())
            share, hits = pointing[name]
            print(f"{name}: {SHARE} {share:.3f}, {HITS} {hits:.3f}", flush=True)
        if not pointing:
            raise UsageError("; ".join(unfit.values()))
        few = photos[: config.photos]
        panel = visualization.trust_panel(
            model,
            few,
            classes[: config.photos],
            {name: methods[name] for name in pointing},
            steps=config.steps,
            seed=config.seed,
        )
        rows = {}
        for row in panel:
            values = dataclasses.asdict(row)
            share, hits = pointing[values.pop("method")]
            rows[row.method] = {"grid_share": share, "grid_hits": hits, **values}
        metrics = training.write_report(
            run.path,
            metrics={
                "methods": rows,
                "unfit": unfit,
                "weights": loaded.source,
                "dataset": dataset,
                "split": chosen.name,
                "grids": len(photos) // 4,
                "photos": len(few),
                "probability": config.probability,
                "steps": config.steps,
                "seed": config.seed,
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"How far to trust maps of {title} on {dataset}",
            lead=[
                *chosen.notes,
                f"{len(photos) // 4} images of four photos, and {len(few)} photos for the other "
                "columns, which the model classifies correctly with a probability of at least "
                f"{config.probability}. Numbers are means.",
                *(f"{name} is left out: {why}." for name, why in unfit.items()),
            ],
            sections=[
                {
                    "caption": "Methods",
                    "paragraphs": training.trust_sentences({row.method: row for row in panel}),
                    "table": table(rows),
                    "notes": [GRIDS, *training.TRUST_NOTES],
                }
            ],
            config={"source": loaded.source, **dataclasses.asdict(run.config)},
        )
    for row in table(rows):
        print("\t".join(row))
    return metrics


def scores(method, size):
    """Return a function (model, images, classes) -> maps, for images of a size (height, width)."""
    from cvcourse import visualization

    options = {}
    if method.name == "occlusion":  # a quarter of the places, since it is computed often
        options["stride"] = 2 * visualization.occlusion_patch(*size)["stride"]
    return functools.partial(method.scores, **options)


def confident_photos(config, split, see, model):
    """Choose photos that the model classifies correctly, four by four of different classes.

    Returns:
        (photos (n, h, w, c) in the size of the network's input, their classes (n,)).

    Raises:
        RunError: If there are not four of different classes.
    """
    import numpy as np

    from cvcourse.visualization.network import Network

    network = Network.of(model)
    groups, count = [], 0
    order = np.random.default_rng(config.seed).permutation(len(split))
    for start in range(0, len(order), 32):
        batch = order[start : start + 32]
        images = np.stack([see(photo) for photo in split.images[batch]])
        found = np.asarray(network.probabilities(network.predict(images)))
        for image, probabilities, label in zip(images, found, split.labels[batch], strict=True):
            if probabilities.argmax() != label or probabilities[label] < config.probability:
                continue
            count += 1
            open_groups = (g for g in groups if len(g) < 4 and label not in g)
            group = next(open_groups, None)
            if group is None:
                groups.append(group := {})
            group[label] = image
        full = [group for group in groups if len(group) == 4][: config.grids]
        if len(full) == config.grids:
            break
    if not full:
        raise RunError(
            f"{count} of {len(split):,} photos are classified correctly with a probability of at "
            f"least {config.probability}, not four of different classes: lower --probability"
        )
    photos = [image for group in full for image in group.values()]
    return np.stack(photos), np.array([label for group in full for label in group])


def table(rows):
    """Return the rows of the table, title first and random maps last: texts."""
    first = next(iter(rows.values()))
    chance = {
        "grid_share": CHANCE,
        "grid_hits": CHANCE,
        "deletion": first["deletion_random"],
        "insertion": first["insertion_random"],
    }
    return [
        ["method", *COLUMNS],
        *(
            [name, *(format_number(row.get(key)) for key in COLUMNS.values())]
            for name, row in [*rows.items(), ("random maps", chance)]
        ),
    ]


def format_number(value):
    """Format a number with three digits, and None as a dash."""
    return "–" if value is None else f"{value:z.3f}"


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
