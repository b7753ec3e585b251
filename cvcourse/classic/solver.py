"""Solver of the assignments: mini-batches, an update rule, and the best parameters by validation.

CS231n, assignments 1 and 2; notes, "Learning", https://cs231n.github.io/neural-networks-3.
"""

import copy
from typing import Any

import numpy as np

from cvcourse.classic import optim

UPDATES = {
    rule.__name__: rule for rule in (optim.sgd, optim.sgd_momentum, optim.rmsprop, optim.adam)
}


class Solver:
    """Training of a net whose `loss(X, y)` returns loss and gradients, and `loss(X)` scores.

    After `train()`, the net has the parameters of the epoch with the best validation accuracy,
    `best_val_acc`; `loss_history` has the loss of each step, `train_acc_history` and
    `val_acc_history` the accuracies before the first epoch and after each.

    Args:
        model: Net with `params`, {name: array}.
        data: {"X_train", "y_train", "X_val", "y_val": arrays}.
        update_rule: Name of a function of `optim`: sgd, sgd_momentum, rmsprop or adam.
        optim_config: Its settings, such as {"learning_rate": 1e-3}.
        lr_decay: Factor of the learning rate after each epoch.
        batch_size: Number of examples of a step, drawn with replacement.
        num_epochs: Number of epochs.
        num_train_samples: Number of training examples, drawn once for each accuracy; None: all.
        num_val_samples: Number of validation examples for each accuracy; None: all.
        verbose: Whether to print a line after each epoch.
        seed: Seed of the batches; the same seed gives the same parameters to the bit.

    >>> from cvcourse.classic import nets
    >>> X, y = np.eye(4), np.array([0, 1, 2, 0])
    >>> net = nets.TwoLayerNet(4, 10, 3, weight_scale=None, rng=0)
    >>> data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    >>> solver = Solver(net, data, optim_config={"learning_rate": 0.5}, num_epochs=50)
    >>> solver.train()
    >>> solver.best_val_acc
    1.0
    """

    def __init__(
        self,
        model: Any,
        data: dict[str, np.ndarray],
        *,
        update_rule: str = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        verbose: bool = False,
        seed: int = 0,
    ):
        if update_rule not in UPDATES:
            raise ValueError(f"update_rule is {update_rule!r}; it is one of {', '.join(UPDATES)}")
        for X, y in (("X_train", "y_train"), ("X_val", "y_val")):
            if not (len(data[X]),) == data[y].shape != (0,):
                raise ValueError(
                    f"{X} {data[X].shape}, {y} {data[y].shape}; one example or more, and a label "
                    "for each, are needed"
                )
        self.model, self.data, self.update = model, data, UPDATES[update_rule]
        if num_epochs < 1 or batch_size < 1:
            raise ValueError(f"num_epochs is {num_epochs}, batch_size {batch_size}; 1 or more")
        # As Python's numbers, which do not change the precision of the parameters.
        numbers = {key: float(value) for key, value in (optim_config or {}).items()}
        self.optim_configs = {name: dict(numbers) for name in model.params}
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, batch_size, num_epochs
        self.num_train_samples, self.num_val_samples = num_train_samples, num_val_samples
        self.verbose, self.rng = verbose, np.random.default_rng(seed)
        self.best_val_acc = -1.0
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []

    def train(self) -> None:
        """Train the net for `num_epochs` epochs; a second call continues, with new curves."""
        X, y = self.data["X_train"], self.data["y_train"]
        for history in (self.loss_history, self.train_acc_history, self.val_acc_history):
            history.clear()
        self._record()
        for epoch in range(1, self.num_epochs + 1):
            for _ in range(max(1, len(X) // self.batch_size)):
                batch = self.rng.integers(len(X), size=self.batch_size)
                self._step(X[batch], y[batch])
            for config in self.optim_configs.values():
                config["learning_rate"] *= self.lr_decay
            self._record()
            if self.verbose:
                print(
                    f"epoch {epoch} of {self.num_epochs}: loss {self.loss_history[-1]:.4f}, "
                    f"accuracy {self.train_acc_history[-1]:.4f} training, "
                    f"{self.val_acc_history[-1]:.4f} validation",
                    flush=True,
                )
        self.model.params, self.model.bn_params = copy.deepcopy(self._best)

    def check_accuracy(
        self, X: np.ndarray, y: np.ndarray, num_samples: int | None = None, batch_size: int = 1000
    ) -> float:
        """Compute the accuracy of the net.

        Args:
            X: Inputs, (N, ...).
            y: Class numbers, (N,).
            num_samples: Number of examples to draw; None: all.
            batch_size: Number of examples of a forward pass, which bounds the memory.

        Returns:
            The share of examples whose true class has the largest score.
        """
        chosen = np.arange(len(X))
        if num_samples is not None and num_samples < len(X):
            chosen = self.rng.choice(len(X), num_samples, replace=False)
        parts = (chosen[i : i + batch_size] for i in range(0, len(chosen), batch_size))
        right = 0
        for part in parts:
            scores = self.model.loss(X[part])
            finite = np.isfinite(scores).all(axis=1)  # NaN would count as the largest score
            right += int((finite & (scores.argmax(axis=1) == y[part])).sum())
        return right / len(chosen)

    def curves(self) -> dict[str, list[float]]:
        """Return curves by epoch.

        Returns:
            {"epoch", "loss" (mean over the steps), "accuracy" and "val_accuracy": values}.
        """
        steps = np.reshape(self.loss_history, (self.num_epochs, -1))
        return {
            "epoch": [*range(1, self.num_epochs + 1)],
            "loss": steps.mean(axis=1).tolist(),
            "accuracy": self.train_acc_history[1:],
            "val_accuracy": self.val_acc_history[1:],
        }

    def _step(self, X, y):
        loss, grads = self.model.loss(X, y)
        self.loss_history.append(float(loss))
        for name, w in self.model.params.items():
            self.model.params[name], self.optim_configs[name] = self.update(
                w, grads[name], self.optim_configs[name]
            )

    def _record(self):
        """Append the accuracies, and keep a copy of the state if it is the best so far."""
        data = self.data
        self.train_acc_history.append(
            self.check_accuracy(data["X_train"], data["y_train"], self.num_train_samples)
        )
        self.val_acc_history.append(
            self.check_accuracy(data["X_val"], data["y_val"], self.num_val_samples)
        )
        if self.val_acc_history[-1] > self.best_val_acc:
            self.best_val_acc = self.val_acc_history[-1]
            # Batch normalization's running statistics belong to the parameters.
            self._best = copy.deepcopy((self.model.params, getattr(self.model, "bn_params", [])))
