"""Dense-sparse-dense training: small weights are pruned for a while and then come back from zero.

Han et al., "DSD: Dense-Sparse-Dense Training for Deep Neural Networks", ICLR 2017,
https://arxiv.org/abs/1607.04381: the sparse phase regularizes; the final network is dense and has
the architecture that it had before.
"""

from collections.abc import Sequence

from keras import ops

from cvcourse.compression.pruning import MagnitudePruning, inner_optimizer

FACTOR = 0.1  # of the learning rate in the last phase


class DenseSparseDense(MagnitudePruning):
    """Callback: train densely, then with the smallest weights at zero, then densely again.

    Each kernel loses the same share of its weights, and the mask stays as it is during the sparse
    phase. Afterwards the pruned weights are trained again, from zero, with a tenth of the learning
    rate; a learning-rate schedule is left as it is, and should be low by then. Training that is
    resumed from the weights and the optimizer's variables continues exactly.

    Args:
        sparsity: Share of the weights that are pruned, in [0, 1).
        sparse: (begin, end), the numbers of batches after which the sparse phase begins and ends,
            counted from the optimizer's first.
        layers: Names of the layers to prune. If None, all convolutions and dense layers with at
            least 100 weights.
        skip: Names of layers to leave out.

    Raises:
        ValueError: For bad values; in `fit`, for an unknown name, or a model without kernels or
            without a known graph.

    >>> import keras, numpy
    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> net.compile("adam", "mse")
    >>> callback = DenseSparseDense(0.3, sparse=(4, 8))
    >>> x, y = numpy.ones((32, 50)), numpy.ones((32, 4))
    >>> fitted = net.fit(x, y, batch_size=2, callbacks=[callback], verbose=0)
    >>> round(float(net.optimizer.learning_rate), 6)
    0.0001
    """

    def __init__(
        self,
        sparsity: float = 0.3,
        *,
        sparse: tuple[int, int],
        layers: Sequence[str] | None = None,
        skip: Sequence[str] = (),
    ):
        begin, self.dense_again = sparse
        if not 0 <= begin < self.dense_again:
            raise ValueError(f"sparse needs 0 <= begin < end; received {sparse}")
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity must be at least 0 and below 1; received {sparsity}")
        super().__init__(
            1 - sparsity, begin=begin, end=begin, scope="layer", layers=layers, skip=skip
        )

    def is_sparse(self, step: int) -> bool:
        return self.begin <= step <= self.dense_again

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._before = self._step()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        before, self._before = self._before, self._step()
        optimizer = inner_optimizer(self.model.optimizer)
        # Not in `on_train_begin`: a checkpoint has the lower rate already.
        if before < self.dense_again <= self._before and not callable(optimizer._learning_rate):
            optimizer.learning_rate = FACTOR * ops.convert_to_numpy(optimizer.learning_rate)
