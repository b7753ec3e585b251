"""What a run shows of its epochs: the losses under their right names, and a line for each."""

import keras


def weighted_metrics(loss):
    """For `compile()`: accuracy, and `loss`, a class of Keras' losses, once more as `data_loss`.

    Weighted, since the last batch of an evaluation is filled up with examples of weight 0; and the
    loss again, to have it without weight decay's penalty and label smoothing.
    """
    return ["accuracy", keras.metrics.MeanMetricWrapper(loss(reduction=None), name="data_loss")]


class LogUnregularizedLoss(keras.callbacks.Callback):
    """Puts the metric `data_loss` in the loss' place in an epoch's logs; the first of callbacks.

    Keras' own loss has weight decay's penalty and label smoothing in it, and its validation mean
    takes the examples that fill up a batch for real ones.
    """

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = logs.pop("data_loss")
        logs["val_loss"] = logs.pop("val_data_loss")


class EpochTensorBoard(keras.callbacks.TensorBoard):
    """TensorBoard's curves by epoch.

    Keras' own prepares a summary of each batch, too, only to throw it away: a third of a small
    net's time.
    """

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


class EpochLine(keras.callbacks.Callback):
    """Prints a line an epoch, for where no terminal shows a progress bar."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        print(f"epoch {epoch + 1}/{self.epochs}  {shown}", flush=True)
