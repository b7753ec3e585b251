"""Sections of a report that explain images: maps, trust panel, patches, filters, dead channels."""

import dataclasses

import numpy as np

from cvcourse import figures, visualization

LIKELIEST = 5  # classes of an image
CHANNELS = 6  # of a stage
MAX_FILTERS, FILTER_SIDE = 256, 40  # shown in a report, and their least side in pixels
INDEPENDENT = 0.9  # rank correlation above which a map hardly depends on what was shuffled
SANITY = (
    "Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, found the same in other networks: "
    "guided backpropagation hardly changes when the upper layers are randomized, unlike the "
    "gradient and Grad-CAM."
)
COLORS = (
    "Maps with both signs are red above 0 and blue below, others go from black, 0, to yellow. In "
    "maps in color, gray is 0. At most 0.5 % of the values exceed the scale and have its last "
    "color. A class against another: the map of the difference of their logits."
)
TRUST_NOTES = (  # columns of the trust panel
    "Deletion: area under the probability of the class while pixels are replaced by the image's "
    "mean color, those of the highest value first; low is good. Insertion: area while they are "
    "inserted into the blurred image; high is good. A method is of use only if it is better than "
    "random maps, the last row. Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421.",
    "Logits shuffled, all shuffled: rank correlation of the maps with those after the values of "
    "the kernel of the logits, or of all kernels, are permuted. Near 1, the maps hardly depend "
    "on the class, or on what the network has learned: they show the image. Adebayo et al. 2018, "
    "https://arxiv.org/abs/1810.03292.",
    "Completeness: deviation of the map's sum from the difference of the logits of the image and a "
    "black image, relative to that difference; 0 is exact. Only integrated gradients have this "
    "property. Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.",
)


def explanation_metrics(explained, class_names):
    """Compute the metrics of an explained image for metrics.json.

    Args:
        explained: visualization.Explanation.
        class_names: Names of the classes.

    Returns:
        A dict of plain values.
    """
    return {
        "classes": _likeliest(explained, class_names),
        "target": class_names[explained.target],
        "contrast": None if explained.contrast is None else class_names[explained.contrast],
        "layer": explained.layer,
        "seconds": round(explained.seconds, 2),
        "methods": {
            name: {"seconds": round(result.seconds, 3), **_trust(explained.trust.get(name))}
            for name, result in explained.results.items()
        },
        "unfit": explained.unfit,
    }


def explanation_sections(name, explained, class_names):
    """Create the sections of an explained image.

    Args:
        name: Name of the image.
        explained: visualization.Explanation.
        class_names: Names of the classes.

    Returns:
        A list of `sections` for `write_report`.
    """
    target = class_names[explained.target]
    shares = _likeliest(explained, class_names)
    height, width = explained.image.shape[:2]
    sections = [
        {
            "caption": name,
            "table": [["class", "probability"]]
            + [[label, (share, f"{share:.4f}")] for label, share in shares.items()],
            "gallery": [[(explained.image, f"input of the network, {width}x{height} pixels")]],
            "large": True,
            "beside": True,
        },
        {
            "caption": f"{name}: maps of {target}",
            "paragraphs": [COLORS],
            "large": True,
            "gallery": [
                _row(method, explained, class_names)
                for method in visualization.METHODS
                if method in explained.results
            ],
            "notes": [
                *(
                    f"{_title(method)} is left out: {why}."
                    for method, why in explained.unfit.items()
                ),
                *dict.fromkeys(n for one in explained.results.values() for n in one.notes),
            ],
        },
    ]
    if explained.trust:
        sections.append(
            {
                "caption": f"{name}: how far to trust the maps",
                "paragraphs": trust_sentences(explained.trust),
                "table": _trust_table(explained.trust),
                "notes": TRUST_NOTES,
            }
        )
    if explained.grid is not None:
        sections.append(_occlusion(f"{name}: occlusion", explained, target))
    return sections


def explanation_figure(explained, class_names):
    """Draw an explained image, its likeliest classes and its maps.

    Args:
        explained: visualization.Explanation.
        class_names: Names of the classes.

    Returns:
        A matplotlib figure.
    """
    maps = {_title(name): one.values for name, one in explained.results.items()}
    return figures.explained_image(explained.image, _likeliest(explained, class_names), maps)


def trust_sentences(rows):
    """Describe the dependence of maps on the class, from measured rank correlations.

    Args:
        rows: {name of the method: visualization.TrustRow}.

    Returns:
        A list of sentences.
    """
    found = {name: row.randomized_logits for name, row in rows.items()}
    independent = {name: value for name, value in found.items() if value >= INDEPENDENT}
    others = {name: value for name, value in found.items() if value < INDEPENDENT}
    sentences = []
    if independent:
        sentences.append(
            f"{_listed(independent)}: maps that hardly depend on the class. The number is the rank "
            "correlation of the map with the one after the weights of the logits are shuffled."
        )
    if others:
        words = "The others" if independent else "Rank correlation after the logits are shuffled"
        sentences.append(f"{words}: {_listed(others)}.")
    return [*sentences, SANITY] if "guided_backprop" in independent else sentences


def unit_sections(model, images):
    """Create the sections about a network's units: patches, filters, dead channels.

    Args:
        model: keras.Model with a graph of layers.
        images: Array (n, h, w, c) of 0..255, in which patches are looked for.

    Returns:
        A pair: a list of `sections` for `write_report`, and {layer: number of channels that are
        positive for none of the images}.
    """
    try:
        stages = visualization.stages(model)
    except ValueError as error:
        return [{"caption": "Units", "paragraphs": [f"{error}."]}], {}
    sections = []
    if stages:
        sections.append(
            {
                "caption": "Strongest patches of each stage",
                "gallery": [_patches(model, images, stage) for stage in stages],
                "notes": [
                    "Channels at the end of each resolution whose strongest activation exceeds "
                    "their mean the most, with this activation, and the pixels that it depends on."
                ],
            }
        )
    sections += filter_sections(model)
    found = visualization.dead_filters(model, images)
    dead = {name: len(channels) for name, channels in found.items()}
    if dead:
        rows = [[name, f"{count}"] for name, count in dead.items()]
        noun = "image" if len(images) == 1 else "images"
        sections.append(
            {
                "caption": "Dead channels",
                "paragraphs": [
                    f"Channels after a ReLU that are positive nowhere in {len(images):,} {noun}: "
                    f"{sum(dead.values()):,}. With many images such a channel is "
                    "probably dead; with few it may respond to other images."
                ],
                "table": [["layer", "never positive"], *rows],
                "fold": f"all {len(rows)} layers",
            }
        )
    return sections, dead


def filter_sections(model):
    """Create the section about the filters of a network's first layer.

    Args:
        model: keras.Model.

    Returns:
        A list of one section for `write_report`; empty without a convolution at the image.
    """
    try:
        filters = visualization.first_layer_filters(model)
    except ValueError:
        return []
    count, height, width, channels = filters.shape
    colors = "in color" if channels == 3 else "in gray"
    if channels not in (1, 3):
        filters, colors = filters.mean(axis=-1, keepdims=True), f"mean of {channels} channels"
    some = f", of which {MAX_FILTERS} are shown," if count > MAX_FILTERS else ""
    return [
        {
            "caption": "Filters of the first layer",
            "paragraphs": [
                f"{count:,} filters{some} of {height}x{width} pixels, {colors}, on one scale; "
                "gray is 0. "
                "Noisy filters can indicate too few epochs or too little regularization (CS231n's "
                "notes, Understanding and Visualizing CNNs)."
            ],
            "picture": figures.image_grid(filters[:MAX_FILTERS], least=FILTER_SIDE, signed=True),
        }
    ]


def _occlusion(caption, explained, target):
    """Return the section with the heat map of occlusion and the image under the worst patch."""
    sides = visualization.occlusion_patch(*explained.image.shape[:2])
    figure = figures.occlusion_map(
        explained.grid,
        explained.image.shape[:2],
        **sides,
        name=target,
        whole=float(explained.probabilities[explained.target]),
    )
    row, column = np.unravel_index(explained.grid.argmin(), explained.grid.shape)
    covered = explained.image.copy()
    top, left = row * sides["stride"], column * sides["stride"]
    covered[top : top + sides["patch"], left : left + sides["patch"]] = 0
    text = f"the patch that lowers the probability of {target} most, to {explained.grid.min():.3g}"
    return {
        "caption": caption,
        "figure": figure,
        "gallery": [[(covered, text)]],
        "large": True,
        "beside": True,
    }


def _likeliest(explained, class_names):
    """Return {class: probability} of the likeliest classes, and of the two that are compared."""
    order = np.argsort(-explained.probabilities, kind="stable")
    compared = (explained.target, explained.contrast)
    shown = [i for place, i in enumerate(order) if place < LIKELIEST or i in compared]
    return {class_names[i]: float(explained.probabilities[i]) for i in shown}


def _title(method):
    return visualization.METHODS[method].title


def _listed(values):
    return ", ".join(f"{_title(name)} {value:z.2f}" for name, value in values.items())


def _row(name, explained, class_names):
    """Return a gallery row: description, map, overlay, and the map of the difference."""
    method, result = visualization.METHODS[name], explained.results[name]
    maps = [one for one in (result.values, result.contrast) if one is not None]
    scale = figures.map_scale(*maps)
    signed = any(bool((one < 0).any()) for one in maps)
    shown = {"scale": scale, "signed": signed}
    target = class_names[explained.target]
    limits = f"{scale:.2g}"
    limits = f"scale -{limits} to {limits}" if signed else f"scale 0 to {limits}"
    pictures = [
        (figures.map_picture(result.values, **shown), f"{target}\n{limits}"),
        (figures.overlay(explained.image, result.values, **shown), "over the image"),
    ]
    if result.contrast is not None:
        other = class_names[explained.contrast]
        text = f"{target} against {other}\nsame scale"
        pictures.append((figures.map_picture(result.contrast, **shown), text))
    layer = f"layer {explained.layer}, " if method.takes_layer else ""
    words = f"{method.title}\n{method.shows} {method.paper}\n{layer}{result.seconds:.2f} s"
    if row := explained.trust.get(name):
        words += (
            f"\nRank correlation with the logits shuffled {row.randomized_logits:z.2f}, with all "
            f"kernels {row.randomized_all:z.2f}; deletion {row.deletion:.3f} (random "
            f"{row.deletion_random:.3f}), insertion {row.insertion:.3f} (random "
            f"{row.insertion_random:.3f})"
        )
    return [(None, words), *pictures]


def _trust(row):
    return (
        {} if row is None else {k: v for k, v in dataclasses.asdict(row).items() if k != "method"}
    )


def _trust_table(rows):
    head = ["method", "logits shuffled", "all shuffled", "deletion", "insertion", "completeness"]
    body = [
        [
            _title(name),
            f"{row.randomized_logits:z.2f}",
            f"{row.randomized_all:z.2f}",
            f"{row.deletion:.3f}",
            f"{row.insertion:.3f}",
            "–" if row.completeness is None else f"{row.completeness:.3f}",
        ]
        for name, row in rows.items()
    ]
    chance = next(iter(rows.values()))
    areas = (chance.deletion_random, chance.insertion_random)
    return [head, *body, ["random maps", "–", "–", *(f"{area:.3f}" for area in areas), "–"]]


def _patches(model, images, stage):
    """Return a gallery row: description of a stage, and the strongest patch of its channels."""
    values = visualization.activations(model, images, stage)
    size = values.shape[1:]
    values = values.reshape(-1, size[-1])
    # Not the largest maxima: many channels reach the limit of a ReLU6.
    peaks = values.max(axis=0) / np.maximum(np.abs(values).mean(axis=0), np.finfo("float32").tiny)
    channels = np.argsort(-peaks, kind="stable")[:CHANNELS].tolist()
    found = visualization.strongest_patches(model, images, stage, channels, count=1)
    row = [(None, f"{stage}\n{'x'.join(map(str, size))}")]
    for channel, (patch, *_) in zip(channels, found, strict=True):
        pixels = figures.crop(images[patch.image], patch.box)
        row.append((pixels, f"channel {channel}: {patch.value:.2g}"))
    return row
