"""Progress of a run by epoch: logs without the regularization loss, TensorBoard, printed lines."""

import keras


def weighted_metrics(loss):
    """Return the `weighted_metrics` for `compile()`: accuracy, and the loss as `data_loss`.

    They are weighted because the last batch of an evaluation is padded with examples of weight 0.
    `data_loss` is the loss without weight decay and label smoothing.

    Args:
        loss: Class of a Keras loss.

    Returns:
        A list of metrics.
    """
    return ["accuracy", keras.metrics.MeanMetricWrapper(loss(reduction=None), name="data_loss")]


class LogUnregularizedLoss(keras.callbacks.Callback):
    """Callback that replaces the loss in an epoch's logs by the metric `data_loss`.

    Put it first in the list of callbacks. Keras' own loss includes weight decay and label
    smoothing, and its validation mean counts padding examples.
    """

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = logs.pop("data_loss")
        logs["val_loss"] = logs.pop("val_data_loss")


class EpochTensorBoard(keras.callbacks.TensorBoard):
    """Callback that logs the curves by epoch to TensorBoard.

    Keras' callback also prepares a summary of each batch and discards it, which takes a third of a
    small network's time.
    """

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


class EpochLine(keras.callbacks.Callback):
    """Callback that prints one line per epoch, for output that cannot show a progress bar."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        print(f"epoch {epoch + 1}/{self.epochs}  {shown}", flush=True)
