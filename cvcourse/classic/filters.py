"""Convolution as a filter of photos: well-known kernels, and the frequencies that they pass.

A blur passes slow changes, the low frequencies; edges are high ones. Gonzalez & Woods, Digital
Image Processing, chapters 3 and 4.
"""

import numpy as np

from cvcourse.classic.fast_convolution import conv_direct

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16  # close to a Gaussian of standard deviation 1
FILTERS: dict[str, np.ndarray] = {
    "identity": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], float),
    "box blur": np.full((5, 5), 1 / 25),
    "Gaussian blur": np.outer(BINOMIAL, BINOMIAL),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], float),
    "Sobel x": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float),
    "Sobel y": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], float),
    "Laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float),
    "emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], float),
}


def filter_image(photo: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter each channel of a photo; pixels of the border are repeated outward.

    Args:
        photo: Photo, (H, W) or (H, W, 3), of any type.
        kernel: Kernel, (K, K), with K odd. It isn't flipped.

    Returns:
        float64 array of the shape of the photo, not clipped: a derivative is also negative.

    Raises:
        ValueError: If the photo or the kernel has another shape.

    >>> filter_image(np.array([[0, 0, 9, 9]]), FILTERS["Sobel x"])
    array([[ 0., 36., 36.,  0.]])
    """
    if photo.ndim not in (2, 3) or kernel.ndim != 2 or not all(n % 2 for n in kernel.shape):
        raise ValueError(
            f"photo {photo.shape}, kernel {kernel.shape}; a photo is (height, width) or (height, "
            "width, channels), a kernel (K, K) with K odd"
        )
    up, left = (size // 2 for size in kernel.shape)
    images = np.moveaxis(np.atleast_3d(photo), 2, 0)[:, None].astype(np.float64)
    images = np.pad(images, ((0, 0), (0, 0), (up, up), (left, left)), mode="edge")
    filtered = conv_direct(images, kernel[None, None].astype(np.float64))
    return np.moveaxis(filtered[:, 0], 0, 2).reshape(photo.shape)


def frequency_response(kernel: np.ndarray, size: int) -> np.ndarray:
    """Compute by how much a kernel multiplies each frequency: the magnitude of its DFT.

    Args:
        kernel: Kernel, (K, K).
        size: Number of frequencies along each axis, at least K.

    Returns:
        Array (size, size), frequency 0 at index size // 2; the ends are half a period a pixel.

    Raises:
        ValueError: If the kernel is larger than `size`.

    >>> frequency_response(np.array([[0.5, 0.5]]), 4)[2]  # a mean: passes 0, blocks the highest
    array([0.        , 0.70710678, 1.        , 0.70710678])
    """
    if max(kernel.shape) > size:
        raise ValueError(f"size {size} is less than the kernel's, {kernel.shape}")
    return np.fft.fftshift(np.abs(np.fft.fft2(kernel, (size, size))))
