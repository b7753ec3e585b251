"""Make pictures by gradient ascent on the pixels, with any trained classifier.

    cvcourse dream photo.jpg --model=mobilenet_v2
    cvcourse dream photo.jpg --kind=style --style=painting.jpg
    cvcourse dream texture.jpg --kind=texture
    cvcourse dream --kind=class_image --target=goldfish
    cvcourse dream photo.jpg --kind=invert --layer=stage3
    cvcourse dream digit.png --kind=fool --target=3 --model=runs/train/digits

picture.png in the run directory is the result, report.html shows the pictures on the way,
metrics.json has the loss and the probability of the class. The kinds:

    dream        DeepDream: the photo changed so that it excites a layer
    style        the photo in the style of another photo
    texture      the style of the photo alone, from noise
    class_image  an image of a class, from noise
    invert       the photo reconstructed from its features at a layer, from noise
    fool         the photo changed a little, until the model takes it for another class; the
                 picture has the size of the photo, so that `cvcourse classify` sees its pixels
"""

import dataclasses
import difflib
import sys
import time
import warnings

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

STEPS = {
    "dream": 10,  # for each octave
    "style": 200,
    "texture": 200,
    "class_image": 200,
    "invert": 300,
    "fool": 200,
}
TARGETED = ("class_image", "fool")
SURE = 0.9  # probability at which `fool` stops: rounding to 8 bits does not undo it
AMPLIFIED = 10  # factor at which the report shows changes that can hardly be seen
LIKELIEST = 5  # classes in the metrics
LOSSES = {
    "dream": "minus half the sum of squares of the layer, over the number of pixels",
    "style": "relative distances of the content and of the style layers",
    "texture": "relative distances of the style layers",
    "class_image": "cross-entropy",
    "invert": "relative distance of the features",
    "fool": "cross-entropy",
}
RESIZING = ("Resize", "Resizing", "CenterCrop", "Cropping2D")


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields, recipe.WeightsFields):
    """A photo, a model, and the kind of picture."""

    photo: tuple[str, ...] = recipe.field((), "image file", positional=True)
    kind: str = recipe.field("dream", "kind of picture", choices=tuple(STEPS))
    model: str = recipe.field(
        "mobilenet_v2", "network with published weights, run directory, or .keras file"
    )
    model_args: dict = recipe.field({}, "arguments of the model's builder, such as width=0.25")
    layer: str | None = recipe.field(
        None, "layer of dream, invert, and of style's content; auto: one chosen by its scale"
    )
    style: str | None = recipe.field(None, "image file whose style is taken")
    target: str | None = recipe.field(
        None, "name of the class of class_image and fool; for fool, none: the second likeliest"
    )
    steps: int | None = recipe.field(
        None, "number of steps, for dream of each octave; auto: as the kind needs", least=1
    )
    size: int | None = recipe.field(
        None, "shorter side of the picture in pixels; auto: that of the model's input", least=1
    )
    seed: int = recipe.field(0, "random seed of noise and shifts", least=0, below=2**32)

    def misfits(self):
        if len(self.photo) != (self.kind != "class_image"):
            takes = "takes no photo" if self.kind == "class_image" else "needs one photo"
            yield f"--kind={self.kind} {takes}; received {', '.join(self.photo) or 'none'}"
        if (self.style is not None) != (self.kind == "style"):
            yield "--kind=style needs --style=another.jpg, which the other kinds do not take"
        if self.target is not None and self.kind not in TARGETED:
            yield f"--target is for --kind={' and '.join(TARGETED)}"
        if self.target is None and self.kind == "class_image":
            yield "--kind=class_image needs --target, the name of a class"
        if self.size is not None and self.kind == "fool":
            yield "--kind=fool keeps the size of the photo: leave --size out"


def main(config: Config) -> dict:
    """Make a picture.

    Args:
        config: Config.

    Returns:
        The metrics: the loss and the probability of the class along the path, the likeliest classes
        before and after, seconds.

    Raises:
        UsageError: For a wrong value, or the workdir of another run.
        RunError: If the model or a photo cannot be read.
    """
    config, metrics = recipe.begin(config, "dream")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    import numpy as np
    from PIL import Image

    from cvcourse import classifier, training

    with recipe.user_errors():
        loaded = classifier.of(config)
        job = Job(config, loaded)
    path, pictures, steps = [], [], 0

    def record(images):
        path.append({"step": steps, "loss": job.loss(images), "probability": job.share(images)})
        pictures.append((images[0], f"step {steps}\n{path[-1]['probability']:.1%} {job.name}"))

    def callback(step, images):
        nonlocal steps
        steps = step
        if step & (step - 1) == 0:  # 1, 2, 4, 8 ...
            record(images)

    with recipe.open_run(config, "dream", config.kind, config.model) as run:
        run.begin()
        begin = time.monotonic()
        if job.start is not None:
            record(job.start)
        with recipe.user_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report tells if fool does not reach its target
            images = np.round(job.run(callback))
        seconds = time.monotonic() - begin
        record(images)
        pixels = images[0].astype("uint8")
        file = run.path / "picture.png"
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file)
        print(f"picture: {file}")
        after = job.likeliest(images)
        shown = [(images[0], f"result\n{after[0][0]:.1%} {after[0][1]}")]
        for name, photo in (("photo", job.photo), ("style", job.style)):
            if photo is not None:
                shown.append((photo[0], name))
        if config.kind == "fool":
            change = 127.5 + AMPLIFIED * (images - job.photo)
            shown.append((change[0], f"change, times {AMPLIFIED}"))
        rows = [[f["step"], f"{f['loss']:.4g}", f"{f['probability']:.4f}"] for f in path]
        return training.write_report(
            run.path,
            title=f"{config.kind.replace('_', ' ').capitalize()}: {loaded.title}",
            metrics={
                "kind": config.kind,
                "layer": job.layer,
                "class": job.name,
                "steps": steps,
                "path": path,
                "before": None if job.photo is None else job.likeliest(job.photo),
                "after": after,
                "seconds": round(seconds, 1),
                "seed": config.seed,
            },
            config=dataclasses.asdict(run.config),
            lead=[f"{steps} steps in {seconds:.0f} s."],
            galleries={"Pictures": shown, "Path": pictures},
            tables={"Steps": [["step", f"loss: {LOSSES[config.kind]}", f"P({job.name})"], *rows]},
        )


class Job:
    """The model, images and layers of a picture.

    Attributes:
        photo: The photo, (1, h, w, c) of 0..255; None for class_image.
        style: The photo of the style, for style.
        start: The photo, if the path starts there and not at noise.
        target: Number of the class whose probability is followed: the one to reach, or the
            photo's likeliest.
        name: Its name.
        layer: Name of the layer of dream, invert and of the content; None for other kinds.
    """

    def __init__(self, config, loaded):
        self.config, self.kind, self.names = config, config.kind, loaded.class_names
        self.model = loaded.model
        self.net, self.side = (self.model, None) if self.kind == "fool" else inner(self.model)
        self.photo = self._read(config.photo[0]) if config.photo else None
        self.style = self._read(config.style) if config.style else None
        self.start = self.photo if self.kind in ("dream", "style", "fool") else None
        self.layer, self.style_layers = self._layers()
        self.target = self._target(loaded)
        self.name = self.names[self.target]

    def _read(self, file):
        """Read a photo, at the size of a net that has one, else with the wanted shorter side."""
        import numpy as np

        from cvcourse import data
        from cvcourse.data.photo import to_size

        *sides, channels = self.net.input_shape[1:]
        fixed = None if None in sides else sides
        if fixed and self.kind != "dream":
            if self.config.size:
                raise ValueError(
                    f"--size: the model takes pictures of {sides[0]} x {sides[1]} only"
                )
            return data.read_photo(file, channels, fixed)[None].astype("float32")
        pixels = data.read_photo(file, channels)
        if self.kind != "fool":
            least = self.config.size or self.side
            scale = least / min(pixels.shape[:2])
            if fixed:  # the photo covers the model's input
                scale = max(scale, *(n / m for n, m in zip(sides, pixels.shape[:2], strict=True)))
            pixels = to_size(pixels, *(max(1, round(scale * n)) for n in pixels.shape[:2])).numpy()
        return np.float32(pixels[None])

    def _layers(self):
        """Return the layer and the style layers of this kind, the default ones by their scale."""
        from cvcourse.visualization.network import Network

        if self.kind in TARGETED:
            return None, ()
        network = Network.of(self.net)
        scales = maps(network)
        chosen = self.config.layer or (scales[-2:] or [None])[0]
        if chosen is None or (self.kind in ("style", "texture") and not scales):
            raise ValueError(f"{network.name} has no maps: choose a layer with --layer")
        network.tap(chosen)
        return chosen, scales[:-1] or scales

    def _target(self, loaded):
        """Return the number of the class to reach, or of the photo's likeliest class."""
        wanted = self.config.target
        if wanted is None:
            order = self.probabilities(self.photo).argsort()
            return int(order[-2] if self.kind == "fool" else order[-1])
        try:
            return loaded.columns([wanted])[0][0]
        except ValueError:
            near = difflib.get_close_matches(wanted, self.names, n=5, cutoff=0.0)
            raise ValueError(f"--target: no class is named {wanted!r}; near: {', '.join(near)}")

    def run(self, callback):
        """Make the picture: (1, h, w, c) of 0..255."""
        from cvcourse import visualization

        settings = {"steps": self.config.steps or STEPS[self.kind], "callback": callback}
        if self.kind == "fool":
            return visualization.fooling_image(
                self.net, self.photo, self.target, probability=SURE, **settings
            )
        settings["seed"] = self.config.seed
        if self.kind == "class_image":
            size = (self.config.size or self.side,) * 2
            return visualization.class_image(self.net, self.target, size=size, **settings)
        if self.kind in ("dream", "invert"):
            make = getattr(visualization, self.kind)
            return make(self.net, self.photo, self.layer, **settings)
        if self.kind == "texture":
            settings |= {"content_weight": 0.0, "start": "noise"}
        return visualization.style_transfer(
            self.net,
            self.photo,
            self.photo if self.style is None else self.style,
            content_layer=self.layer,
            style_layers=self.style_layers,
            **settings,
        )

    def loss(self, images):
        """Compute the loss of a picture, in the words of LOSSES."""
        import numpy as np

        from cvcourse import visualization

        if self.kind in TARGETED:
            return -float(np.log(max(self.share(images), 1e-12)))
        if self.kind == "dream":
            images = fitting(images, self.net)
            objective, _ = visualization.dream_objective(self.net, images, self.layer)
            return -float(objective[0] / images.size)
        total = 0.0
        if self.kind != "texture":
            total += visualization.inversion_loss(self.net, images, self.photo, self.layer)[0][0]
        if self.kind != "invert":
            style = self.photo if self.style is None else self.style
            for layer in self.style_layers:
                wanted = visualization.gram(self.net, style, layer)
                found = visualization.gram(self.net, images, layer)
                total += np.square(found - wanted).sum() / np.square(wanted).sum()
        return float(total)

    def probabilities(self, images):
        """Compute the probabilities of the classes for a picture, (classes,)."""
        import keras
        import numpy as np

        from cvcourse import training

        net = self.net if self.photo is None else self.model
        scores = np.array(net(fitting(images, net), training=False), "float32")
        return np.array(keras.ops.softmax(training.as_logits(scores).astype("float64")))[0]

    def share(self, images):
        """Compute the probability of the class that is followed."""
        return float(self.probabilities(images)[self.target])

    def likeliest(self, images):
        """Return the likeliest classes as [probability, name]."""
        found = self.probabilities(images)
        return [[float(found[i]), self.names[i]] for i in found.argsort()[::-1][:LIKELIEST]]


def inner(model):
    """Return the model without the resizing and cropping of photos, and its usual input's side.

    It takes pictures of any size if its layers do, otherwise of the size after the cropping.
    """
    import keras

    from cvcourse.visualization.network import Network, run

    network = Network.of(model)
    place, steps = network.input, [*network.graph.steps]
    while steps and type(steps[0].operation).__name__ in RESIZING:
        place = steps.pop(0).outputs[0]
    _, *sides, channels = place.shape
    if None in sides:
        return model, 224
    if place is network.input:
        return model, min(sides)
    for shape in ((None, None, channels), (*sides, channels)):
        image = keras.Input(shape)
        try:
            outputs = run(steps, {place: image}, [*network.graph.outputs.values()], copies=True)
            break
        except (TypeError, ValueError):  # layers that need a size
            continue
    return keras.Model(image, keras.tree.pack_sequence_as(model.output, outputs)), min(sides)


def maps(network):
    """Return the name of the last map of each scale, from fine to coarse."""
    from cvcourse.layers.receptive_field import fields

    found, place, last = {}, fields(network.graph), network.default_map()[0]
    for step in network.between():
        value = step.outputs[0]
        if place[value] is not None and value.shape[-1] > network.image_shape[-1]:
            found[place[value].step] = step.name
        if step.name == last:
            break
    return [*found.values()]


def fitting(images, net):
    """Scale a picture to the input of a net that has a fixed size."""
    import keras

    sides = net.input_shape[1:3]
    if None in sides or images.shape[1:3] == sides:
        return images
    return keras.ops.convert_to_numpy(keras.ops.image.resize(images, sides, antialias=True))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
