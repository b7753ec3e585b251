"""Make pictures by gradient descent on the pixels, with a trained classifier.

    cvcourse dream photo.jpg --model=mobilenet_v2
    cvcourse dream photo.jpg --kind=style --style=painting.jpg
    cvcourse dream --kind=class_image --target=goldfish
    cvcourse dream digit.png --kind=fool --target=3 --model=runs/train/digits

picture.png in the run directory is the result; report.html shows the path to it, metrics.json has
the loss and the probability of a class along the path. The kinds:

    dream        DeepDream: the photo, changed so that the values of a layer grow
    style        the photo in the style of another photo
    texture      the style of the photo alone, from noise
    class_image  an image of a class, from noise
    invert       the photo reconstructed from its features at a layer, from noise
    fool         the photo, hardly changed, that the model takes for another class
"""

import dataclasses
import sys
import time
import warnings

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly

KINDS = {  # title of the report, and the loss in its table
    "dream": ("DeepDream", "minus half the mean over pixels of the layer's squares"),
    "style": ("Style transfer", "relative distances to content and style"),
    "texture": ("Texture synthesis", "relative distances to the style"),
    "class_image": ("Image of a class", "cross-entropy"),
    "invert": ("Feature inversion", "relative distance to the features"),
    "fool": ("Fooling image", "cross-entropy"),
}
SIDE = 224  # of pictures for a model of any size
STEPS = dict(dream=10, style=200, texture=200, class_image=200, invert=300, fool=200)
OF_CLASS = ("class_image", "fool")
OF_LAYER = ("dream", "invert", "style")  # texture has the layers of style, but no content
SCALE = {"invert": -3}  # place of the default layer among the maps of each scale; -2 for others
STRUCTURE = dict(step_size=0.03, blur=1 / 224, blur_every=4)  # class images with less noise
SURE = 0.9  # probability at which `fool` stops, which survives the rounding to 8 bits
AMPLIFIED = 10  # factor for the picture of the change
LIKELIEST = 5  # classes in the metrics


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields, recipe.ClassifierFields):
    """A photo, a model, and the kind of picture."""

    photo: tuple[str, ...] = recipe.field((), "image file", positional=True)
    kind: str = recipe.field("dream", "kind of picture", choices=tuple(KINDS))
    layer: str | None = recipe.field(
        None, "layer of dream, of invert, and of style's content; auto: one of a middle scale"
    )
    style: str | None = recipe.field(None, "image file whose style is transferred")
    target: str | None = recipe.field(
        None, "name of the class for class_image and fool; none: for fool, the second likeliest"
    )
    steps: int | None = recipe.field(
        None, "number of steps, for dream of each octave; auto: as the kind needs", least=1
    )
    size: int | None = recipe.field(
        None,
        "shorter side of the picture in pixels; auto: the model's input, twice it for dream",
        least=1,
    )
    seed: int = recipe.field(0, "random seed of noise and shifts", least=0, below=2**32)

    def misfits(self):
        if len(self.photo) != (self.kind != "class_image"):
            takes = "takes no photo" if self.kind == "class_image" else "needs one photo"
            yield f"--kind={self.kind} {takes}; received {', '.join(self.photo) or 'none'}"
        if (self.style is not None) != (self.kind == "style"):
            yield f"--style=FILE and --kind=style need each other; received --kind={self.kind}"
        if self.target is not None and self.kind not in OF_CLASS:
            yield f"--target is for --kind={' and '.join(OF_CLASS)}"
        if self.target is None and self.kind == "class_image":
            yield "--kind=class_image needs the name of a class, --target=NAME"
        if self.layer is not None and self.kind not in OF_LAYER:
            yield f"--layer is for --kind={', '.join(OF_LAYER)}"
        if self.size is not None and self.kind == "fool":
            yield "--kind=fool keeps the size of the photo: leave out --size"


def main(config: Config) -> dict:
    """Make a picture.

    Args:
        config: Config.

    Returns:
        The metrics: loss and probability of the class along the path, likeliest classes, seconds.

    Raises:
        UsageError: For a wrong value, or the workdir of another run.
        RunError: If the model or a photo cannot be read.
    """
    config, metrics = recipe.begin(config, "dream")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    import keras
    import numpy as np

    from cvcourse import classifier, training

    with recipe.user_errors():
        loaded = classifier.of(config, named=False)
        job = Job(config, loaded)
    name, path, pictures = job.names[job.target], [], []

    def record(step, images):
        share = float(job.probabilities(images)[job.target])
        path.append({"step": step, "loss": job.loss(images, share), "probability": share})
        pictures.append((images[0], f"step {step}\n{share:.1%} {name}"))

    def callback(step, images):
        job.steps = step
        if step & (step - 1) == 0:  # 1, 2, 4, 8 ...
            record(step, images)

    with recipe.open_run(config, "dream", config.kind, config.model) as run:
        run.begin()
        begin = time.monotonic()
        if config.kind in ("dream", "style", "fool"):  # the others start from noise
            record(0, job.photo)
        with recipe.user_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the last row tells if fool misses its target
            images = np.round(job.run(callback))
        seconds = round(time.monotonic() - begin, 1)
        if path and path[-1]["step"] == job.steps:  # before the rounding
            path.pop(), pictures.pop()
        record(job.steps, images)
        keras.utils.save_img(run.path / "picture.png", images[0], scale=False)
        print(f"picture: {run.path / 'picture.png'}")
        named = {"result": images} | job.photos
        found = {title: job.likeliest(picture) for title, picture in named.items()}
        shown = [
            (picture[0], f"{title}\n{found[title][0][0]:.1%} {found[title][0][1]}")
            for title, picture in named.items()
        ]
        if config.kind == "fool":
            change = 127.5 + AMPLIFIED * (images - job.photo)
            shown.append((change[0], f"change, times {AMPLIFIED}\ngray is 0"))
        title, loss = KINDS[config.kind]
        titles = ["step", loss, f"probability of {name}"]
        rows = [[f["step"], f"{f['loss']:.4g}", f"{f['probability']:.4f}"] for f in path]
        return training.write_report(
            run.path,
            title=f"{title}: {loaded.title}",
            metrics={
                "kind": config.kind,
                "layer": job.layer,
                "class": name,
                "steps": job.steps,
                "path": path,
                "before": found.get("photo"),
                "after": found["result"],
                "seconds": seconds,
                "seed": config.seed,
            },
            config=dataclasses.asdict(run.config),
            lead=[f"{job.steps} steps in {seconds:g} s.{job.layers()}"],
            sections=[
                {"caption": "Pictures", "gallery": [shown], "large": True},
                {"caption": "Path", "gallery": [pictures]},
                {"caption": "Steps", "table": [titles, *rows]},
            ],
        )


class Job:
    """The model, images (1, h, w, c) of 0..255, layers and class of a picture.

    `net` is the model whose input the picture is: for `fool`, the classifier, so that
    `cvcourse classify` sees these pixels; else the part after the resizing of photos.
    """

    def __init__(self, config, loaded):
        from cvcourse import classifier
        from cvcourse import visualization as library
        from cvcourse.visualization.network import Network

        self.config, self.kind, self.library, self.steps = config, config.kind, library, 0
        self.model = self.net = loaded.model
        self.names = loaded.class_names or [*map(str, range(self.model.output_shape[-1]))]
        if self.kind != "fool":
            _, self.net = classifier.without_resizing(self.model)
        files = {"photo": (*config.photo, None)[0], "style": config.style}
        self.photos = {name: self._read(file) for name, file in files.items() if file}
        self.photo = self.photos.get("photo")
        self.style = self.photos.get("style", self.photo)
        order = [] if self.photo is None else self.probabilities(self.photo).argsort().tolist()
        if config.target is not None:
            self.target = loaded.column(config.target)
        else:
            self.target = order[-2 if self.kind == "fool" and len(order) > 1 else -1]
        if self.kind == "fool" and self.target == order[-1]:
            raise UsageError(
                f"the likeliest class of the photo is {self.names[self.target]} already: "
                "--kind=fool needs another one"
            )
        network, self.layer, stages = Network.of(self.net), None, []
        if self.kind not in OF_CLASS:
            if config.layer is None or self.kind in ("style", "texture"):
                stages = library.stages(self.net)
                if not stages:
                    raise UsageError(
                        f"{loaded.title} has no maps, which --kind={self.kind} needs: use "
                        f"--kind={' or '.join(OF_CLASS)}"
                    )
            self.layer = config.layer or stages[max(SCALE.get(self.kind, -2), -len(stages))]
            network.tap(self.layer)
        self.style_layers = stages[:-1] or stages
        if self.photo is not None:
            network.images(self.photo, any_size=self.kind == "dream")
        if self.kind in ("style", "texture", "invert"):
            self.loss(self.photo, 0.0)  # fail early if the layers are zero for the photos

    def _read(self, file):
        """Read a photo in the size of the picture."""
        import numpy as np

        from cvcourse import data
        from cvcourse.data.photo import to_size

        *sides, channels = self.net.input_shape[1:]
        if self.kind == "fool" and None in sides:
            pixels = data.read_photo(file, channels)
        elif self.kind == "dream":  # several sizes of the whole photo
            pixels = data.read_photo(file, channels)
            shorter = self.config.size or 2 * min(side or SIDE for side in sides)
            scale = shorter / min(pixels.shape[:2])
            pixels = to_size(pixels, *(max(round(scale * n), 1) for n in pixels.shape[:2]))
        else:
            size = [self.config.size or side or SIDE for side in sides]
            pixels = data.read_photo(file, channels, size)
        return np.float32(pixels[None])

    def layers(self):
        """Name the layers of the loss in a sentence."""
        style = f" Style of the layers {', '.join(self.style_layers)}."
        one = f" {'Content of the layer' if self.kind == 'style' else 'Layer'} {self.layer}."
        return {"style": one + style, "texture": style}.get(self.kind, one if self.layer else "")

    def run(self, callback):
        """Make the picture, (1, h, w, c) of 0..255."""
        settings = {"steps": self.config.steps or STEPS[self.kind], "callback": callback}
        if self.kind == "fool":
            settings["probability"] = SURE
            return self.library.fooling_image(self.net, self.photo, self.target, **settings)
        settings["seed"] = self.config.seed
        if self.kind == "class_image":
            settings |= STRUCTURE | {"size": self.config.size and (self.config.size,) * 2}
            return self.library.class_image(self.net, self.target, **settings)
        if self.kind in ("dream", "invert"):
            technique = getattr(self.library, self.kind)
            return technique(self.net, self.photo, self.layer, **settings)
        if self.kind == "texture":
            settings |= {"content_weight": 0.0, "start": "noise"}
        settings |= {"content_layer": self.layer, "style_layers": self.style_layers}
        return self.library.style_transfer(self.net, self.photo, self.style, **settings)

    def loss(self, images, share):
        """Compute the loss of KINDS; `share` is the probability of the class."""
        import numpy as np

        if self.kind in OF_CLASS:
            return -float(np.log(max(share, 1e-12)))
        if self.kind == "dream":
            images = fitted(images, self.net)
            found, _ = self.library.dream_objective(self.net, images, self.layer)
            return -float(found[0]) / images[0, :, :, 0].size
        total = 0.0
        if self.kind != "texture":
            total += self.library.inversion_loss(self.net, images, self.photo, self.layer)[0][0]
        for layer in self.style_layers:
            wanted = self.library.gram(self.net, self.style, layer)
            found = self.library.gram(self.net, images, layer)
            norm = np.square(wanted).sum()
            if not norm:
                raise ValueError(f"the values of the layer {layer} are all zero for the style")
            total += np.square(found - wanted).sum() / norm
        return float(total)

    def probabilities(self, images):
        """Compute the probabilities of the classes for a picture, (classes,)."""
        from cvcourse import classifier

        return classifier.probabilities(self.model, fitted(images, self.model)[0])

    def likeliest(self, images):
        """Return the likeliest classes as [probability, name]."""
        found = self.probabilities(images)
        return [[float(found[i]), self.names[i]] for i in found.argsort()[::-1][:LIKELIEST]]


def fitted(images, model):
    """Scale pictures to the input of a model that has a fixed size."""
    import keras

    sides = model.input_shape[1:3]
    if None in sides or images.shape[1:3] == sides:
        return images
    return keras.ops.convert_to_numpy(keras.ops.image.resize(images, sides, antialias=True))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
