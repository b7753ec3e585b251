"""Snapshots: the models of several epochs of one run, which an ensemble or an average is made of.

Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017,
https://arxiv.org/abs/1704.00109.
"""

import keras

from cvcourse.training.best_model import save_model


class Snapshots(keras.callbacks.Callback):
    """Writes each model of an epoch, from 1, that `every` divides to `folder`/EPOCH.keras.

    A file is whole or absent, and alike whether the run was interrupted or not. Raises RunError
    where it cannot be written.
    """

    def __init__(self, folder, every, class_names):
        super().__init__()
        self.folder, self.every, self.class_names = folder, every, class_names

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            save_model(self.model, self.folder / f"{epoch + 1}.keras", self.class_names)
