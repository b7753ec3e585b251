"""Stanford's computer-vision course CS231n as working software in Keras 3."""

__version__ = "0.5.0"
