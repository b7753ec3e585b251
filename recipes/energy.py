"""Estimate the energy and the memory traffic of a network by layer, without running it.

    cvcourse energy --model=alexnet
    cvcourse energy --model=vgg16 --batch_size=64 --bits=8
    cvcourse energy --source=runs/train/digits --peak=176e9 --bandwidth=20e9

Energy is counted with Horowitz' table for a chip of 45 nm: multiplications and additions, fetching
the weights, and reading and writing activations. The roofline shows which layers are bound by
memory on hardware with the given peak and bandwidth. Writes a report and metrics.json.
"""

import dataclasses
import pathlib
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

DRAWN = 40  # layers of a figure
PARTS = {  # column: field of compression.energy
    "multiply": "multiply",
    "add": "add",
    "fetch weights": "weight_access",
    "activations": "activation_access",
}
TITLES = ("layer", "MACs", "weights", *PARTS, "energy (µJ)", "operations per byte", "bound")
NOTES = (
    "Horowitz, ISSCC 2014, figure 1.1.9, https://doi.org/10.1109/ISSCC.2014.6757323: at 45 nm, a "
    "multiplication of 32-bit floats takes 3.7 pJ, an addition 0.9 pJ, and access to 32 bits 5 pJ "
    "in a cache of 8 KB (sram) or 640 pJ in external memory (dram). With 16 bits, 1.1 and 0.4 pJ; "
    "with 8-bit integers, 0.2 and 0.03 pJ; access in proportion to the bits.",
    "Assumptions: a weight is fetched once for a batch; a convolution, dense layer, matrix product "
    "or pool reads its inputs and writes its outputs once; other layers work in place, and their "
    "arithmetic is not counted. Real hardware fetches larger maps and kernels several times.",
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.ModelFields):
    """The network and the hardware."""

    model: str = "alexnet"
    source: str | None = recipe.field(
        None, "run directory, .keras or .cvz file of a trained network, in place of --model"
    )
    input_shape: tuple[int, ...] | None = recipe.field(
        None, "height,width,channels of the input of --model; auto: its usual size", least=1
    )
    batch_size: int = recipe.field(
        1, "number of images for which a weight is fetched once", least=1
    )
    bits: int = recipe.field(32, "bits of weights and activations: 32, 16 or 8", least=1)
    weights_in: str = recipe.field("dram", "memory of the weights", choices=("dram", "sram"))
    activations_in: str = recipe.field(
        "sram", "memory of the activations", choices=("dram", "sram")
    )
    peak: float = recipe.field(
        19.5e12,  # NVIDIA A100, float32
        "operations per second of the hardware at this number of bits; a multiply-accumulate is "
        "two; default: NVIDIA A100, float32",
        above=0,
    )
    bandwidth: float = recipe.field(
        1.555e12, "bytes per second of its memory; default: NVIDIA A100, 40 GB", above=0
    )


def main(config: Config) -> dict:
    """Count, print the table, and write the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json.

    Raises:
        UsageError: For a wrong name or value.
        RunError: If the model cannot be read, or the report not be written.
    """
    config, metrics = recipe.begin(config, "energy")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import training
    from cvcourse.models import _cost

    with recipe.user_errors():
        title, energies, roofs = count(config)
    with recipe.open_run(config, "energy", title.replace(".", "-")) as run:
        run.begin()
        total = sum(row.total for row in energies)
        shares = {
            label: sum(getattr(row, field) for row in energies) / total
            for label, field in PARTS.items()
        }
        table = [
            TITLES,
            *(cells(*pair) for pair in zip(energies, roofs, strict=True)),
        ]
        drawn = [roof for roof in roofs if roof.macs]
        bound = sum(roof.bound == "memory" for roof in drawn)
        seconds = sum(roof.seconds for roof in roofs)
        metrics = training.write_report(
            run.path,
            metrics={
                "layers": {
                    energy.name: {
                        **dataclasses.asdict(energy),
                        "energy": energy.total,
                        "bytes": roof.bytes,
                        "intensity": roof.intensity,
                        "attainable": roof.attainable,
                        "bound": roof.bound,
                        "least_seconds": roof.seconds,
                    }
                    for energy, roof in zip(energies, roofs, strict=True)
                },
                "energy": total,
                "shares": shares,
                "macs": sum(row.macs for row in energies),
                "weights": sum(row.weights for row in energies),
                "memory_bound": bound,
                "least_seconds": seconds,
            },
            title=f"Energy of {title}",
            lead=[*sentences(config, energies, drawn)],
            tiles=[
                {"value": with_unit(total, "J"), "words": "energy for an image"},
                *(
                    {"value": f"{100 * share:.1f} %", "words": label}
                    for label, share in shares.items()
                ),
                {"value": f"{bound} of {len(drawn)}", "words": "layers bound by memory"},
            ],
            sections=[
                {
                    "caption": "Energy by layer",
                    "figure": energy_figure(energies),
                    "wide": True,
                    "notes": [f"Layers with the most energy, at most {DRAWN}.", *NOTES],
                },
                {
                    "caption": "Roofline",
                    "figure": roofline_figure(config, drawn),
                    "wide": True,
                    "notes": [
                        "Williams et al. 2009, https://doi.org/10.1145/1498765.1498785. Area: "
                        "least seconds of the layer. Left of the ridge, memory is the limit."
                    ],
                },
                {"caption": "Layers", "table": table, "fold": f"{len(energies)} layers"},
            ],
            config=dataclasses.asdict(run.config),
        )
    print(*_cost.aligned(table), sep="\n")
    print(*sentences(config, energies, drawn), sep="\n")
    return metrics


def count(config):
    """Return (title, energies, rooflines) of the network. Raises ValueError for a bad value."""
    from cvcourse import classifier, compression
    from cvcourse.models import _cost

    def rows(net):
        memory = {"weights_in": config.weights_in, "activations_in": config.activations_in}
        hardware = {"peak": config.peak, "bandwidth": config.bandwidth}
        both = {"bits": config.bits, "batch_size": config.batch_size}
        return (
            compression.energy(net, **memory, **both),
            compression.roofline(net, **hardware, **both),
        )

    settings = dict(config.model_args)
    if config.input_shape:
        settings["input_shape"] = config.input_shape
    if config.source is None:
        return config.model, *_cost.without_weights(rows, config.model, settings)
    if settings or config.model != Config.model:
        raise ValueError(
            "--model, --model_args and --input_shape are for a new network; --source has its own"
        )
    if not pathlib.Path(config.source).expanduser().exists():
        raise ValueError(
            f"--source={config.source}: no such run directory, .keras or .cvz file; `cvcourse "
            "train` writes one"
        )
    loaded = classifier.load(config.source, named=False)
    _, net = classifier.without_resizing(loaded.model)
    return loaded.title, *rows(net)


def sentences(config, energies, roofs):
    """Yield what the numbers say: the largest energy, and the layers bound by memory."""
    total = sum(row.total for row in energies)
    fetch = sum(row.weight_access for row in energies)
    first = max(energies, key=lambda row: row.total)
    yield (
        f"With {config.bits}-bit weights in {config.weights_in} and batches of "
        f"{config.batch_size}, an image takes {with_unit(total, 'J')}, of which "
        f"{100 * fetch / total:.1f} % are for fetching weights. The layer with the most energy is "
        f"{first.name} with {100 * first.total / total:.1f} %."
    )
    bound = [roof for roof in roofs if roof.bound == "memory"]
    seconds = sum(roof.seconds for roof in roofs)
    share = sum(roof.seconds for roof in bound) / seconds
    yield (
        f"At {config.peak / 1e9:,.5g} GFLOP/s and {config.bandwidth / 1e9:,.5g} GB/s, memory is "
        f"the limit of {len(bound)} of {len(roofs)} layers with multiply-accumulates, which take "
        f"{100 * share:.1f} % of their least time, {with_unit(seconds, 's')} for a batch."
    )


def with_unit(number, unit):
    """Format a number with three digits and a prefix of its unit."""
    size, prefix = next(pair for pair in ((1, ""), (1e-3, "m"), (0, "µ")) if number >= pair[0])
    return f"{number / (size or 1e-6):.3g} {prefix}{unit}"


def cells(energy, roof):
    """Return the texts of a layer's row."""
    return [
        energy.name,
        *(f"{count:,}" for count in (energy.macs, energy.weights)),
        *(f"{1e6 * getattr(energy, field):,.2f}" for field in PARTS.values()),
        f"{1e6 * energy.total:,.2f}",
        f"{roof.intensity:,.2f}",
        roof.bound,
    ]


def energy_figure(energies):
    """Draw the layers with the most energy, in the order of the network."""
    from cvcourse import figures

    least = sorted(row.total for row in energies)[-DRAWN:][0]
    rows = [row for row in energies if row.total >= least]
    parts = {label: [getattr(row, field) for row in rows] for label, field in PARTS.items()}
    return figures.energy_by_layer([row.name for row in rows], parts)


def roofline_figure(config, roofs):
    """Draw the layers with multiply-accumulates below the roof."""
    from cvcourse import figures

    return figures.roofline_diagram(
        [roof.name for roof in roofs],
        [roof.intensity for roof in roofs],
        [roof.seconds for roof in roofs],
        peak=config.peak,
        bandwidth=config.bandwidth,
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
