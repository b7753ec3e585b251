"""Explain the outputs of a network for photos: attribution maps, tests of the maps, and units.

    cvcourse explain photo.jpg --model=mobilenet_v2
    cvcourse explain photos/ --model=runs/train/flowers --target=daisy --methods=grad_cam,occlusion
    cvcourse explain --model=runs/train/digits

Without photos, images of the validation split of the model's run are explained. The report has the
likeliest classes of each image, the maps of each method for a class and for its difference to a
second class, tests of how far to trust the maps, the strongest patches of each stage, the
filters of the first layer and dead channels. Methods that do not fit the model are listed with the
reason. CS231n, lecture "Visualizing and Understanding".
"""

import dataclasses
import os
import pathlib
import sys

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError, pick
from cvcourse.startup import import_tensorflow_quietly

STATISTICS = 256  # images of a validation split in which patches and dead channels are looked for


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.ClassifierFields):
    """Photos, the model, and the methods that explain it."""

    photos: tuple[str, ...] = recipe.field(
        (),
        "image files and folders; none: images of the validation split of the model's run",
        positional=True,
    )
    target: str | None = recipe.field(None, "class to explain; none: the likeliest of each image")
    contrast: str | None = recipe.field(
        None, "class that the target is compared with; none: the likeliest other one"
    )
    methods: tuple[str, ...] | None = recipe.field(
        None, "methods of cvcourse.visualization.METHODS; auto: all that fit the model"
    )
    layer: str | None = recipe.field(
        None, "layer of Grad-CAM and Guided Grad-CAM; none: the last map before the classifier"
    )
    trust: bool = recipe.field(True, "test how far to trust the maps, which takes most of the time")
    count: int = recipe.field(
        4, "number of images, of different classes, if no photos are given", least=1
    )
    data_dir: str | None = recipe.field(
        None, "folder searched first for published datasets", free=True
    )
    output: str | None = recipe.field(
        None, "file of a figure of the first image's maps (.svg, .png or .pdf); none: no file"
    )


def main(config: Config) -> dict:
    """Compute the maps of each image and method, and write the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json.

    Raises:
        UsageError: For a wrong value, or if no method fits the model.
        RunError: If the model or a photo cannot be read; with several photos, after the others have
            been explained.
    """
    config, metrics = recipe.begin(config, "explain", shown=lambda found: [*found["images"]])
    if metrics:
        require_all_read(metrics)
        return metrics
    output = config.output and recipe.output_file(config.output, recipe.PICTURES)
    import_tensorflow_quietly()
    from cvcourse import classifier, figures, training, visualization
    from cvcourse.visualization.network import Network

    with recipe.user_errors():
        loaded = classifier.of(config, named=False)
        target, contrast = (
            None if name is None else loaded.column(name)
            for name in (config.target, config.contrast)
        )
        see, model = classifier.without_resizing(loaded.model)
        chosen = [pick("method", name, visualization.METHODS) for name in config.methods or ()]
        if config.layer:
            Network.of(model).tap(config.layer)
        if config.layer and chosen and not any(method.takes_layer for method in chosen):
            raise UsageError("--layer is for the methods grad_cam and guided_grad_cam")
        images, others, unreadable = images_of(config, loaded, see)
    names = loaded.class_names or [*map(str, range(model.output_shape[-1]))]
    with recipe.open_run(config, "explain", loaded.title.replace(".", "-")) as run:
        run.begin()
        explained = {}
        for place, (name, pixels) in enumerate(images.items(), 1):
            print(f"{name}, image {place} of {len(images)}", flush=True)
            with recipe.user_errors():
                explained[name] = visualization.explain(
                    model,
                    pixels,
                    config.methods,
                    target=target,
                    contrast=contrast,
                    layer=config.layer,
                    trust=config.trust,
                    progress=lambda line: print(f"  {line}", flush=True),
                )
        titles = [pathlib.Path(name).name for name in explained]
        if len({*titles}) < len(titles):
            titles = [*explained]
        sections = [
            section
            for title, one in zip(titles, explained.values(), strict=True)
            for section in training.explanation_sections(title, one, names)
        ]
        units, dead = training.unit_sections(model, others)
        metrics = training.write_report(
            run.path,
            title=f"Attribution maps of {config.model if loaded.folder is None else loaded.title}",
            metrics={
                "images": {
                    name: training.explanation_metrics(one, names)
                    for name, one in explained.items()
                },
                "dead_channels": dead,
                "images_of_units": len(others),
                "unreadable": unreadable,
            },
            lead=lead(loaded, unreadable),
            sections=[*sections, *units],
            config={"source": loaded.source, **dataclasses.asdict(run.config)},
        )
        if output:
            one = next(iter(explained.values()))
            figures.save_figure(training.explanation_figure(one, names), output)
            print(f"figure: {output}")
        require_all_read(metrics)
    return metrics


def images_of(config, loaded, see):
    """Read the images to explain, in the size of the network's input.

    Returns:
        ({name: image}, images (n, h, w, c) in which patches and dead channels are looked for, names
        of the photos that cannot be read).
    """
    import numpy as np

    from cvcourse import classifier

    if not config.photos:
        chosen, places = validation_images(config, loaded)
        images = {}
        for i in places:
            label = chosen.class_names[chosen.examples.labels[i]]
            name = f"{loaded.run['dataset']} {chosen.names[i]}, class {label}"
            images[name] = see(chosen.examples.images[i])
        first = range(min(STATISTICS, len(chosen.examples)))
        return images, np.stack([see(chosen.examples.images[i]) for i in first]), []
    files = classifier.photo_files(config.photos)
    names = {  # the report is UTF-8
        file: os.fsencode(file).decode(errors="backslashreplace") for file in files
    }
    images = {}
    try:
        for file, pixels in classifier.read_photos(files, loaded.model):
            images[names[file]] = see(pixels)
    except RunError:
        if not images:
            raise
    size = next(iter(images.values())).shape
    others = np.stack([one for one in images.values() if one.shape == size])
    return images, others, [name for name in names.values() if name not in images]


def require_all_read(metrics):
    """Raise RunError if photos could not be read."""
    if count := len(metrics["unreadable"]):
        total = count + len(metrics["images"])
        raise RunError(f"{count:,} of {total:,} photos cannot be read")


def validation_images(config, loaded):
    """Load the validation split of a model's run, and choose images of different classes.

    Returns:
        (EvaluationSplit, indices of its images).

    Raises:
        UsageError: If the model has no run.
    """
    import numpy as np

    from cvcourse import evaluation_split

    if not loaded.run:
        raise UsageError("no photo to explain: cvcourse explain photo.jpg")
    chosen = evaluation_split.choose(
        loaded, loaded.run["dataset"], "validation", data_dir=config.data_dir
    )
    _, first = np.unique(chosen.examples.labels, return_index=True)
    return chosen, [int(i) for i in np.sort(first)[: config.count]]


def lead(loaded, unreadable):
    """Return the paragraphs at the start of the report."""
    return [
        f"Maps of the logit of a class, for occlusion of its probability, from {loaded.source}. "
        "They show what the output of this network depends on, not what is true of the image.",
        *(f"{name} is left out: it cannot be read." for name in unreadable),
    ]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
