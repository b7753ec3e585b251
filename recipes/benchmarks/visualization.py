"""Measure the speed of occlusion, integrated gradients and Grad-CAM against Captum's.

    cvcourse bench visualization
    cvcourse bench visualization --rounds=3 --stride=32

One image is explained by resnet18 with random weights. Captum and pytorch-grad-cam, if they are
installed, run torchvision's network in a separate process on all cores, each in the fastest form
that a trial finds: channels first or last, and the number of images at once. Occlusion is also
compared with a call of `predict` for each place, and Grad-CAM with a forward pass.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import itertools
import os
import sys
import time

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly

TARGETS = {  # technique: least ratio of a contestant's seconds to ours
    "occlusion": {"captum": 1.3, "predict": 3.0},
    "integrated_gradients": {"captum": 1.1},
    "grad_cam": {"captum": 1.0, "grad-cam": 1.0},
}
FORWARD_PASSES = 1.3  # of Grad-CAM, at most
MODULES = {"captum": "captum", "grad-cam": "pytorch_grad_cam", "torchvision": "torchvision"}
VERSIONS = {
    package: importlib.util.find_spec(module) and importlib.metadata.version(package)
    for package, module in MODULES.items()
}
CLASS, CLASSES = 7, 1000
SHORT = 10  # calls in a block of Grad-CAM


@dataclasses.dataclass(frozen=True)
class Config:
    """Image, patches, steps and rounds of the benchmark."""

    size: int = recipe.field(224, "side of the image in pixels", least=32)
    patch: int = recipe.field(32, "side of the patch of occlusion in pixels", least=1)
    stride: int = recipe.field(24, "distance between patches in pixels", least=1)
    steps: int = recipe.field(16, "number of steps of integrated gradients", least=1)
    batches: tuple[int, ...] = recipe.field(
        (1, 4, 8, 16, 27), "numbers of images at once that Captum tries", least=1
    )
    rounds: int = recipe.field(7, "number of timed blocks of each contestant", least=1)
    output: str = recipe.field("runs/bench_visualization.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    if config.stride > config.patch:
        raise UsageError(
            f"Captum takes a stride of at most the patch, {config.patch}; received {config.stride}"
        )
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    seconds, checks, trials = {}, {}, {}
    with timing.torch_process() as there:
        for technique, contestants in our_contestants(config).items():
            for who in TARGETS[technique]:
                if who in contestants or not (VERSIONS[who] and VERSIONS["torchvision"]):
                    continue
                job = f"{who} {technique}"
                trials[job], form = tried_forms(there, config, job)
                contestants[who] = functools.partial(there, torch_block, config, job, form)
            found = timing.take_turns(contestants, config.rounds)
            seconds[technique] = {who: timing.quartiles(times) for who, times in found.items()}
            for who, target in TARGETS[technique].items():
                checks[f"{technique}: {who} / ours"] = timing.check(
                    timing.ratios(found, who, "ours"),
                    at_least=target,
                    absent=f"{who} and torchvision are not installed",
                )
            if "forward" in found:
                passes = timing.ratios(found, "ours", "forward")
                name = f"{technique} in forward passes"
                checks[name] = timing.check(passes, at_most=FORWARD_PASSES)
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions=VERSIONS, trials=trials, seconds=seconds
    )


def our_contestants(config):
    """Return {technique: {contestant: function () -> seconds of a block}} in TensorFlow."""
    import numpy as np
    import tensorflow as tf

    from cvcourse import models, visualization

    shape = (config.size, config.size, 3)
    net = models.build("resnet18", input_shape=shape, num_classes=CLASSES)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    patches = {"patch": config.patch, "stride": config.stride}
    passed = tf.function(functools.partial(net, training=False), autograph=False)

    def predict():
        side = range(0, config.size - config.patch + config.stride, config.stride)
        for row, column in itertools.product(side, side):
            covered = image.copy()
            covered[:, row : row + config.patch, column : column + config.patch] = 0
            net.predict(covered, verbose=0)

    return {
        "occlusion": {
            "ours": block(lambda: visualization.occlusion(net, image, CLASS, **patches)),
            "predict": block(predict),
        },
        "integrated_gradients": {
            "ours": block(
                lambda: visualization.integrated_gradients(net, image, CLASS, steps=config.steps)
            )
        },
        "grad_cam": {
            "ours": block(lambda: visualization.grad_cam(net, image), SHORT),
            "forward": block(lambda: passed(image).numpy(), SHORT),
        },
    }


def block(call, count=1):
    """Return a function that calls `call` and returns the seconds of each of `count` calls."""

    def timed():
        seconds = []
        for _ in range(count):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return seconds

    return timed


def tried_forms(there, config, job):
    """Try memory formats and numbers of images at once; return ({form: seconds}, fastest form)."""
    batches = [1] if "grad_cam" in job else config.batches
    forms = [*itertools.product(("channels_first", "channels_last"), batches)]
    seconds = {form: min(there(torch_block, config, job, form, 2)) for form in forms}
    named = {f"{layout}, {batch} at once": found for (layout, batch), found in seconds.items()}
    return named, min(seconds, key=seconds.get)


def torch_block(config, job, form, count=None):
    """Run a block of a torch library: seconds of each call."""
    if count is None:
        count = SHORT if "grad_cam" in job else 1
    return block(torch_call(config, job, *form), count)()


@functools.cache  # for the life of the process
def torch_call(config, job, layout, batch):
    """Return the call of a torch library that explains an image by torchvision's resnet18."""
    import torch
    import torchvision

    torch.set_num_threads(os.cpu_count())
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = torchvision.models.resnet18(weights=None, num_classes=CLASSES).eval()
    net = net.requires_grad_(False).to(memory_format=form)
    net.layer4.requires_grad_("grad_cam" in job)  # of which the gradient then begins
    image = torch.randn(1, 3, config.size, config.size).to(memory_format=form)

    def occlusion():
        from captum.attr import Occlusion

        return Occlusion(lambda x: net(x).softmax(1)).attribute(
            image,
            sliding_window_shapes=(3, config.patch, config.patch),
            strides=(3, config.stride, config.stride),
            target=CLASS,
            perturbations_per_eval=batch,
        )

    def integrated_gradients():
        from captum.attr import IntegratedGradients

        return IntegratedGradients(net).attribute(
            image,
            target=CLASS,
            n_steps=config.steps,
            method="riemann_middle",
            internal_batch_size=batch,
        )

    def captum_grad_cam():
        from captum.attr import LayerGradCam

        return LayerGradCam(net, net.layer4).attribute(image, target=CLASS)

    def grad_cam():
        return made(input_tensor=image, targets=[ClassifierOutputTarget(CLASS)])

    if job.startswith("grad-cam"):
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        made = GradCAM(model=net, target_layers=[net.layer4[-1]])
    return {
        "captum occlusion": occlusion,
        "captum integrated_gradients": integrated_gradients,
        "captum grad_cam": captum_grad_cam,
        "grad-cam grad_cam": grad_cam,
    }[job]


cli = recipe.cli(main, "bench visualization")


if __name__ == "__main__":
    sys.exit(cli())
