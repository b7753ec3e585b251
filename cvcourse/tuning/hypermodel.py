"""The training of a recipe as a keras-tuner HyperModel."""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import keras_tuner

from cvcourse import data, layers, optimization
from cvcourse.tuning.spaces import ask
from cvcourse.tuning.trial import refusal

OWN_OPTIONS = {  # arguments of fit() that the hypermodel sets
    *("x", "y", "sample_weight", "batch_size", "shuffle", "steps_per_epoch"),
    *("validation_data", "validation_split", "validation_batch_size"),
}


class HyperModel(keras_tuner.HyperModel):
    """keras-tuner HyperModel that builds, compiles and fits a model as a recipe does.

    Args:
        train: Module of the recipe `train`.
        space: Search space, a function (hp, config) -> config.
        config: `train.Config` whose fields the space replaces.

    >>> from cvcourse import tuning
    >>> from cvcourse.recipes import train
    >>> space = tuning.default_space(["learning_rate", "batch_size"])
    >>> hypermodel = HyperModel(train, space, train.Config(model="mlp", limit=20))
    digits: 20 training, 20 validation, 20 test images of 8x8x1 in 10 classes
    >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
    (None, 10)
    """

    def __init__(
        self,
        train: ModuleType,
        space: Callable[[keras_tuner.HyperParameters, Any], Any],
        config: Any,
    ):
        super().__init__()
        self.train, self.space, self.config = train, space, config
        self.dataset = data.of(config)

    def setting(self, hp):
        """Return the config with the values of `hp`, resolved for the dataset."""
        try:
            tuned = ask(self.space, hp, self.train.resolve(self.config, self.dataset))
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:  # keras-tuner would retry others and end the search
            raise keras_tuner.errors.FailedTrialError(refusal(error)) from error
        return self.train.resolve(tuned, self.dataset)

    def build(self, hp):
        """Return the compiled model."""
        _, model = self.train.build_and_compile(self.setting(hp), self.dataset)
        return model

    def fit(self, hp, model, *arrays, epochs=None, initial_epoch=0, **options):
        """Train from `initial_epoch` (counted from 0) to `epochs`.

        The learning-rate schedule is that of a run of `epochs`, from `initial_epoch` on, both for
        an optimizer that made the steps before, as in a second fit, and for a new one, as in
        Hyperband.

        Args:
            hp: keras_tuner.HyperParameters.
            model: Model returned by `build`.
            *arrays: Not allowed: the dataset is that of the config.
            epochs: Last epoch; None for the number of epochs of the config.
            initial_epoch: First epoch.
            **options: Arguments of keras.Model.fit, except OWN_OPTIONS.

        Returns:
            keras.callbacks.History.

        Raises:
            keras_tuner.errors.FatalValueError: For data, and for arguments that the recipe sets.
        """
        train, dataset = self.train, self.dataset
        given = ["positional arguments"] * bool(arrays) + [*(options.keys() & OWN_OPTIONS)]
        if given:
            raise keras_tuner.errors.FatalValueError(
                "the config determines the dataset and its batches: call tuner.search() "
                f"without {', '.join(sorted(given))}"
            )
        setting = self.setting(hp)
        setting = dataclasses.replace(setting, epochs=epochs or setting.epochs)
        steps = data.steps_per_epoch(dataset.train, setting.batch_size)
        rate = optimization.schedule_of(setting, steps)
        if callable(rate):
            done = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
            begin = initial_epoch * steps // setting.accumulate
            model.optimizer.learning_rate = optimization.Shifted(rate, begin - done)
        if train.drops_paths_by_schedule(setting):
            for layer in model.layers:
                if isinstance(layer, layers.ScheduledDropPath):
                    layer.steps = setting.epochs * steps
        model.train_function = None  # it was compiled with the previous schedules
        return model.fit(
            train.stream(setting, dataset, dataset.train, augment=setting.augment),
            validation_data=train.stream(setting, dataset, dataset.validation, shuffle=False),
            steps_per_epoch=steps,
            shuffle=False,
            epochs=setting.epochs,
            initial_epoch=initial_epoch,
            **options,
        )
