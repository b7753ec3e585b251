"""Report of a compressed network: its size and error by stage, and the bits of each tensor."""

import dataclasses
import math
import pathlib
import statistics

import numpy as np

from cvcourse import figures
from cvcourse.compression.kernels import kernels
from cvcourse.training.report import write_report

PAPER = {  # Han et al. 2016, https://arxiv.org/abs/1510.00149, tables 1 to 3
    "lenet_300_100": {
        "error": (1.64, 1.58),  # before and after
        "ratio": (32, 40),  # without and with Huffman codes
        # By layer: % of the weights kept, bits of a value, with Huffman codes, of a gap, likewise
        "layers": ((8, 6, 4.4, 5, 3.7), (9, 6, 4.4, 5, 4.3), (26, 6, 4.3, 5, 3.2)),
    },
    "lenet5_caffe": {
        "error": (0.80, 0.74),
        "ratio": (33, 39),
        "layers": (
            *((66, 8, 7.2, 5, 1.5), (12, 8, 7.2, 5, 3.9)),
            *((8, 5, 4.5, 5, 4.5), (19, 5, 5.2, 5, 3.7)),
        ),
    },
}
ERRORS = ("test_error", "val_error")
LEAD = (
    "Deep Compression: Han, Mao & Dally 2016, https://arxiv.org/abs/1510.00149. The error of the "
    "stage huffman is that of the network read from model.cvz. The file is smaller on disk and on "
    "its way to a device; the network read from it needs the memory and the time of the one before."
)
NOTE = (
    "bytes: of dense, 4 for each parameter; of pruned, float32 values with the gaps between them; "
    "of shared, the file model.cvz without Huffman codes; of huffman, the file. density: share of "
    "the weights of convolutions and dense layers that are not zero. bits: of a weight that is not "
    "zero, without its gap."
)


def gap_coded_bytes(array, values=None):
    """Count the bytes of an array without Huffman codes: nonzero values with gaps, or all values.

    A gap has 1 to 8 bits; in a longer run of zeros, zeros are stored as well (Han et al. 2016,
    figure 2).

    Args:
        array: Array of any shape.
        values: Number of different values besides zero, of which indices are stored. If None, a
            value is a float32.

    Returns:
        The number of bytes of the smallest form, without the values of a codebook.
    """
    places = np.flatnonzero(array)
    zeros = np.diff(places, prepend=-1) - 1

    def size(count, has_zeros, gap_bits):
        bits = 32 if values is None else math.ceil(math.log2(values + has_zeros))
        return math.ceil(count * (bits + gap_bits) / 8)

    sizes = [size(array.size, len(places) < array.size, 0)]
    for gap_bits in range(1, 9):
        fillers = int((zeros >> gap_bits).sum())
        sizes.append(size(len(places) + fillers, fillers > 0, gap_bits))
    return min(sizes)


def write_compression(workdir, *, metrics, curve, config, sections=()):
    """Write the report and metrics.json of `cvcourse compress`.

    Args:
        workdir: The run's directory, as a pathlib.Path.
        metrics: Metrics with `stages`, `parameters` and `seconds`, and for a single run those of
            `archive_note`.
        curve: {text of the legend: rows of the last stage, one for each density}.
        config: Config of the run, with `model` and `dataset`.
        sections: Further sections.

    Returns:
        The metrics, as `write_report` returns them.

    Raises:
        RunError: If a file cannot be written.
    """
    dense, *_, last = metrics["stages"]
    split = "validation" if last["test_error"] is None else "test"
    key = "val_error" if last["test_error"] is None else "test_error"
    paper, published, notes = PAPER.get(config.model), None, [NOTE]
    if paper:
        published = paper["ratio"][1], paper["error"][1]
        notes.append(
            f"The paper: error {paper['error'][0]:.2f} % before and {paper['error'][1]:.2f} % "
            f"after, {paper['ratio'][0]}x without and {paper['ratio'][1]}x with Huffman codes."
        )
    if "xz_bytes" in metrics:
        notes.append(archive_note(metrics))
    points = {name: [(row["ratio"], row[key]) for row in rows] for name, rows in curve.items()}
    return write_report(
        workdir,
        metrics=metrics,
        title=f"{config.model} on {pathlib.Path(config.dataset).stem}, compressed",
        lead=[LEAD, *([f"Means over {len(curve)} seeds."] if "runs" in metrics else [])],
        tiles=[
            {"value": f"{last['ratio']:.1f}x", "words": "smaller than the float32 parameters"},
            {"value": f"{last['bytes']:,.0f}", "words": f"bytes, of {dense['bytes']:,.0f}"},
            {"value": f"{last[key]:.2f} %", "words": f"{split} error"},
            {"value": f"{dense[key]:.2f} %", "words": f"{split} error of the dense network"},
            {"value": f"{100 * last['density']:.1f} %", "words": "of the weights kept"},
            {"value": f"{metrics['seconds'] / 60:.1f} min", "words": "total time"},
        ],
        sections=[
            {"caption": "Stages", "table": [*stage_table(metrics["stages"])], "notes": notes},
            {
                "caption": f"{split.capitalize()} error by ratio",
                "figure": figures.error_by_ratio(points, dense[key], published),
            },
            *sections,
        ],
        config=dataclasses.asdict(config),
    )


def means(tables):
    """Average tables of several seeds.

    Args:
        tables: Lists of rows, dicts with the same keys.

    Returns:
        A list of rows: means of numbers, and for each `…error` also its sample standard deviation
        `…error_std`.
    """
    found = []
    for rows in zip(*tables, strict=True):
        found.append({})
        for key, first in rows[0].items():
            values = [row[key] for row in rows]
            is_number = isinstance(first, (int, float))
            found[-1][key] = round(statistics.fmean(values), 4) if is_number else first
            if is_number and key.endswith("error") and len(values) > 1:
                found[-1][f"{key}_std"] = round(statistics.stdev(values), 4)
    return found


def archive_note(metrics):
    """Compare model.cvz with archives: `gzip_bytes`, `xz_bytes`, `keras_bytes` of the metrics."""
    times = metrics["xz_bytes"] / metrics["stages"][-1]["bytes"]
    return (
        f"The pruned weights as an .npz file: {metrics['gzip_bytes']:,} bytes with gzip -9, "
        f"{metrics['xz_bytes']:,} with xz, {times:.1f} times model.cvz. model.keras: "
        f"{metrics['keras_bytes']:,} bytes."
    )


def tensor_section(sizes, total, network):
    """Create the section with the bits and bytes of each tensor beside those of the paper.

    Args:
        sizes: Sizes of a file, as `compressed_file.sizes` returns them.
        total: Bytes of the file.
        network: Name of the network, a key of `PAPER` or another.

    Returns:
        A section for `write_report`.
    """
    coded = [row for row in sizes if row.coding != "raw"]
    published = PAPER[network]["layers"] if network in PAPER else ()
    table = [["tensor", "weights", "kept, %", "value bits", "gap bits", "bytes"]]
    table[0] += ["paper: kept, %", "value bits", "gap bits"] if published else []
    for row in coded:
        kept = 100 * row.kept / row.weights
        gaps = f"{row.gap_bits} → {row.gap_bits_coded:.1f}" if row.gap_bits else "–"
        bits = [f"{row.bits} → {row.value_bits:.1f}", gaps]
        table.append([row.name, f"{row.weights:,}", f"{kept:.1f}", *bits, f"{row.bytes:,}"])
    for cells, (kept, *bits) in zip(table[1:], published, strict=False):
        cells += [kept, f"{bits[0]} → {bits[1]}", f"{bits[2]} → {bits[3]}"]
    tensors = sum(row.bytes for row in sizes)
    parts = {
        "values": sum(row.value_bytes for row in coded),
        "gaps": sum(row.index_bytes for row in coded),
        "codebooks": sum(row.codebook_bytes for row in coded),
        "biases and other float32 tensors": tensors - sum(row.bytes for row in coded),
        "architecture": total - tensors,
    }
    shares = ", ".join(f"{name} {100 * size / total:.1f} %" for name, size in parts.items())
    return {
        "caption": "Tensors in the file",
        "table": table,
        "notes": [
            "Bits of an index of a value and of a gap, then with Huffman codes. Of "
            f"{total:,} bytes: {shares}."
        ],
    }


def weight_section(dense, pruned, shared):
    """Create the section with the histograms of the largest kernel of three models."""
    arrays = [
        {kernel.name: np.asarray(kernel.variable.value) for kernel in kernels(model)}
        for model in (dense, pruned, shared)
    ]
    name = max(arrays[0], key=lambda name: arrays[0][name].size)
    return {
        "caption": f"Weights of {name}",
        "figure": figures.weight_histograms(*(found[name] for found in arrays)),
    }


def stage_table(stages):
    """Yield the rows of the table of stages, titles first."""
    yield ["stage", "bytes", "ratio", "test error, %", "validation error, %", "density, %", "bits"]
    for row in stages:
        errors = ["–" if row[key] is None else _error(row, key) for key in ERRORS]
        numbers = [f"{100 * row['density']:.2f}", f"{row['bits']:.3g}"]
        yield [row["stage"], f"{row['bytes']:,.0f}", f"{row['ratio']:.1f}x", *errors, *numbers]


def _error(row, key):
    std = row.get(f"{key}_std")
    return f"{row[key]:.2f}{'' if std is None else f' ± {std:.2f}'}"
