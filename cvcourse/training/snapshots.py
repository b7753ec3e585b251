"""Snapshots: models of several epochs of one run, for ensembles and weight averages.

Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017,
https://arxiv.org/abs/1704.00109.
"""

import keras

from cvcourse.training.best_model import save_model


class Snapshots(keras.callbacks.Callback):
    """Callback that saves the model of every `every`-th epoch as EPOCH.keras, counted from 1.

    Files are written atomically, and are the same if the run is interrupted and resumed. Raises
    RunError if a file cannot be written.

    Args:
        folder: Folder of the files, as a pathlib.Path.
        every: Number of epochs between two files.
        class_names: Names of the classes.
    """

    def __init__(self, folder, every, class_names):
        super().__init__()
        self.folder, self.every, self.class_names = folder, every, class_names

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            save_model(self.model, self.folder / f"{epoch + 1}.keras", self.class_names)
