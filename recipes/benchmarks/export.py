"""Measure exported networks: bytes, and the time of processes that take turns.

    cvcourse bench export
    cvcourse bench export --rounds=3 --networks=mobilenet

MobileNet with a quarter of its filters and EfficientNet-Lite0, with random weights: time and bytes
do not depend on them. LiteRT's float file is compared with the TensorFlow function of the
SavedModel, and that of 8-bit integers with the float file; its time only where the CPU has dot
products of 8-bit integers.
"""

import contextlib
import dataclasses
import pathlib
import sys
import tempfile
from functools import partial

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly, standard_error_closed

NETWORKS = {"mobilenet": {"width": 0.25}, "efficientnet_lite0": {}}
TARGETS = ("saved_model", "litert", "litert_int8")
FASTER, SMALLER, INT8_FASTER = 2.0, 3.0, 1.5
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "i8mm"}
CALLS = 20


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks and rounds of the benchmark."""

    networks: tuple[str, ...] = recipe.field(
        tuple(NETWORKS), "networks to measure", choices=tuple(NETWORKS), distinct=True
    )
    rounds: int = recipe.field(9, "number of turns of each file", least=1)
    output: str = recipe.field("runs/bench_export.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import compression, models
    from cvcourse.compression import deployment
    from cvcourse.compression.exported_process import ExportedProcess
    from cvcourse.training import timing, vector_extensions

    with recipe.user_errors():
        deployment.check(TARGETS, calibrated=True)
    load = timing.load_average()
    has_dot_products = not DOT_PRODUCTS.isdisjoint(vector_extensions())
    checks, measured = {}, {}
    for name in config.networks:
        net = models.build(name, **NETWORKS[name])
        shape = (10, *net.input_shape[1:])
        images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            with standard_error_closed():
                rows = compression.export(net, folder, TARGETS, images=images)
            processes = {
                target: stack.enter_context(ExportedProcess(pathlib.Path(folder), target))
                for target in TARGETS
            }
            blocks = {
                who: partial(each.seconds, images[:1], CALLS) for who, each in processes.items()
            }
            blocks = {
                target: partial(each.seconds, images[:1], CALLS)
                for target, each in processes.items()
            }
            found = timing.take_turns(blocks, config.rounds)
        for target, row in rows.items():
            row["seconds"] = timing.quartiles(found[target])
        measured[name] = rows
        smaller = rows["litert"]["bytes"] / rows["litert_int8"]["bytes"]
        checks |= {
            f"{name}: SavedModel / litert": timing.check(
                timing.ratios(found, "saved_model", "litert"), at_least=FASTER
            ),
            f"{name}: bytes of litert / litert_int8": timing.check([smaller], at_least=SMALLER),
        }
        if name == "efficientnet_lite0":
            checks[f"{name}: litert / litert_int8"] = timing.check(
                timing.ratios(found, "litert", "litert_int8") if has_dot_products else None,
                at_least=INT8_FASTER,
                absent="this CPU has no dot products of 8-bit integers",
            )
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions={}, networks=measured
    )


cli = recipe.cli(main, "bench export")


if __name__ == "__main__":
    sys.exit(cli())
