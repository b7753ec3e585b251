"""A recipe's training for a keras-tuner of one's own."""

import dataclasses

import keras
import keras_tuner

from cvcourse import data, layers, optimization
from cvcourse.tuning.spaces import ask
from cvcourse.tuning.trial import refusal

OWN_OPTIONS = {  # of fit(), that a hypermodel sets itself
    *("x", "y", "sample_weight", "batch_size", "shuffle", "steps_per_epoch"),
    *("validation_data", "validation_split", "validation_batch_size"),
}


class HyperModel(keras_tuner.HyperModel):
    """Builds, compiles and fits as a recipe does, with the values of a tuner.

    Args:
        train: The module of the recipe that trains.
        space: Function (hp, config) -> config.
        config: train.Config whose fields it replaces.
    """

    def __init__(self, train, space, config):
        super().__init__()
        self.train, self.space, self.config = train, space, config
        self.dataset = data.of(config)

    def setting(self, hp):
        """The config with values of `hp`, settled for the data set."""
        try:
            tuned = ask(self.space, hp, self.train.resolve(self.config, self.dataset))
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:  # others are tried again, and end the search
            raise keras_tuner.errors.FailedTrialError(refusal(error)) from error
        return self.train.resolve(tuned, self.dataset)

    def build(self, hp):
        """The compiled model."""
        _, model = self.train.build_and_compile(self.setting(hp), self.dataset)
        return model

    def fit(self, hp, model, *arrays, epochs=None, initial_epoch=0, **options):
        """Train from `initial_epoch` (from 0) to `epochs`.

        The learning rate begins where a run of `epochs` has it at `initial_epoch`, whether the
        optimizer has made these steps, as in a second fit, or is new, as Hyperband's is.

        Args:
            hp: keras_tuner.HyperParameters.
            model: What `build` returned.
            arrays: None: the data set is the config's.
            epochs: Where it ends; None for the config's.
            initial_epoch: Where it begins.
            options: Those of keras.Model.fit, but for OWN_OPTIONS.

        Returns:
            keras.callbacks.History.

        Raises:
            keras_tuner.errors.FatalValueError: For data, and for options that the recipe sets.
        """
        train, dataset = self.train, self.dataset
        given = ["positional arguments"] * bool(arrays) + [*(options.keys() & OWN_OPTIONS)]
        if given:
            raise keras_tuner.errors.FatalValueError(
                "the data set and its batches are those of the config: call tuner.search() "
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
        model.train_function = None  # it is compiled with the schedules of before
        return model.fit(
            train.stream(setting, dataset, dataset.train, augment=setting.augment),
            validation_data=train.stream(setting, dataset, dataset.validation, shuffle=False),
            steps_per_epoch=steps,
            shuffle=False,
            epochs=setting.epochs,
            initial_epoch=initial_epoch,
            **options,
        )
