"""Captioning net of the assignments: a recurrent net that an image's features begin.

CS231n, assignment 2 (RNN) and 3 (LSTM); Vinyals et al. 2015, https://arxiv.org/abs/1411.4555;
Karpathy & Li 2015, https://arxiv.org/abs/1412.2306. A projection of the features is the first
hidden state; a step reads the embedding of a word, and its hidden state gives scores of the next.
`cvcourse.sequence` has the nets that `cvcourse caption` trains.
"""

import numpy as np
from numpy.typing import DTypeLike

from cvcourse.classic import layers, recurrent, recurrent_cells, temporal
from cvcourse.classic.nets import Rng
from cvcourse.classic.shapes import sizes

CELLS = {  # cell_type: forward and backward pass over a sequence, gates
    "rnn": (recurrent.rnn_forward, recurrent.rnn_backward, 1),
    "lstm": (recurrent.lstm_forward, recurrent.lstm_backward, 4),
}


class CaptioningRNN:
    """Captioning net with a vanilla RNN or an LSTM.

    Its parameters are W_proj, b_proj (features to hidden state), W_embed (words), Wx, Wh, b (cell),
    W_vocab, b_vocab (hidden state to scores).

    Args:
        word_to_idx: {word: number}; it has <NULL>, which pads captions, and for `sample` <START>.
        input_dim: Number of features of an image, D.
        wordvec_dim: Size of the embedding of a word.
        hidden_dim: Size of the hidden state.
        cell_type: "rnn" or "lstm".
        dtype: Floating-point type of parameters and computations.
        rng: Seed or generator of the initial weights.

    >>> words = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3}
    >>> net = CaptioningRNN(words, input_dim=5, wordvec_dim=6, hidden_dim=7, rng=0)
    >>> loss, grads = net.loss(np.ones((1, 5)), np.array([[1, 3, 2, 0]]))
    >>> grads["Wx"].shape, net.sample(np.ones((1, 5)), max_length=3).shape
    ((6, 7), (1, 3))
    """

    def __init__(
        self,
        word_to_idx: dict[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ):
        if cell_type not in CELLS:
            raise ValueError(f"cell_type is {cell_type!r}; it is one of {', '.join(CELLS)}")
        if (
            sorted(word_to_idx.values()) != [*range(len(word_to_idx))]
            or "<NULL>" not in word_to_idx
        ):
            raise ValueError("word_to_idx has <NULL>, and numbers from 0 without a gap")
        self.forward, self.backward, gates = CELLS[cell_type]
        self.cell_type, self.dtype = cell_type, dtype
        self.null, self.start = word_to_idx["<NULL>"], word_to_idx.get("<START>")
        words, rng = len(word_to_idx), np.random.default_rng(rng)

        def weights(*shape):
            return rng.normal(0, shape[0] ** -0.5, shape)

        params = {
            "W_embed": rng.normal(0, 0.01, (words, wordvec_dim)),
            "W_proj": weights(input_dim, hidden_dim),
            "b_proj": np.zeros(hidden_dim),
            "Wx": weights(wordvec_dim, gates * hidden_dim),
            "Wh": weights(hidden_dim, gates * hidden_dim),
            "b": np.zeros(gates * hidden_dim),
            "W_vocab": weights(hidden_dim, words),
            "b_vocab": np.zeros(words),
        }
        self.params = {name: value.astype(dtype) for name, value in params.items()}

    def loss(
        self, features: np.ndarray, captions: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Compute the loss of captions, and its gradients.

        Args:
            features: Features of images, (N, D).
            captions: Word numbers, (N, T): words 1 to T - 1 are read, words 2 to T are to be
                predicted; those that are <NULL> do not count.

        Returns:
            The loss, summed over the steps, mean over the captions; {name: gradient}.
        """
        p, features = self.params, np.asarray(features, self.dtype)
        sizes("features N D, captions N T, W_proj D H", features, captions, p["W_proj"])
        given, wanted = captions[:, :-1], captions[:, 1:]
        h0, from_features = layers.affine_forward(features, p["W_proj"], p["b_proj"])
        x, from_words = temporal.word_embedding_forward(given, p["W_embed"])
        h, from_states = self.forward(x, h0, p["Wx"], p["Wh"], p["b"])
        scores, from_h = temporal.temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal.temporal_softmax_loss(scores, wanted, wanted != self.null)

        grads = {}
        dh, grads["W_vocab"], grads["b_vocab"] = temporal.temporal_affine_backward(dscores, from_h)
        dx, dh0, grads["Wx"], grads["Wh"], grads["b"] = self.backward(dh, from_states)
        grads["W_embed"] = temporal.word_embedding_backward(dx, from_words)
        _, grads["W_proj"], grads["b_proj"] = layers.affine_backward(dh0, from_features)
        return loss, grads

    def sample(self, features: np.ndarray, max_length: int = 30) -> np.ndarray:
        """Write captions: the word with the highest score at each step, after <START>.

        Args:
            features: Features of images, (N, D).
            max_length: Number of words of a caption.

        Returns:
            Word numbers, (N, max_length); words after <END> have no meaning.
        """
        if self.start is None:
            raise ValueError("word_to_idx has no <START>, after which a caption begins")
        p, features = self.params, np.asarray(features, self.dtype)
        h, _ = layers.affine_forward(features, p["W_proj"], p["b_proj"])
        c = np.zeros_like(h)
        word = np.full(len(features), self.start)
        captions = np.full((len(features), max_length), self.null)
        for step in range(max_length):
            x = p["W_embed"][word]
            if self.cell_type == "rnn":
                h, _ = recurrent_cells.rnn_step_forward(x, h, p["Wx"], p["Wh"], p["b"])
            else:
                h, c, _ = recurrent_cells.lstm_step_forward(x, h, c, p["Wx"], p["Wh"], p["b"])
            word = layers.affine_forward(h, p["W_vocab"], p["b_vocab"])[0].argmax(axis=1)
            captions[:, step] = word
        return captions
