"""Pictures of attribution maps: colors, overlays on the image, grids, occlusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import BLUE, ORANGE, new_figure, require_data, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 0.995  # share of the values within the scale: single pixels may be far stronger
SIGNED, POSITIVE = "RdBu_r", "inferno"  # colormaps: white is 0, black is 0
STRONGEST = 0.85  # opacity of a value at the end of the scale


def map_scale(*maps: np.ndarray) -> float:
    """Choose one scale for maps: 99.5 % of their values are within plus and minus this value.

    Args:
        *maps: Arrays of any shape.

    Returns:
        The value; 1 if all maps are zero.

    >>> map_scale(np.array([0.0, -3.0]), np.array([2.0]))
    3.0
    """
    values = np.abs(np.concatenate([np.ravel(one) for one in maps]))
    scale = float(np.quantile(values, SHARE, method="higher"))
    return scale or float(values.max()) or 1.0


def map_picture(
    values: np.ndarray, *, scale: float | None = None, signed: bool | None = None
) -> np.ndarray:
    """Color a map: red above 0 and blue below, or from black to yellow if it is positive.

    Args:
        values: Array (h, w) or (h, w, 1); (h, w, 3) is shown as a color picture with gray for 0.
        scale: Absolute value of the strongest color; None for `map_scale(values)`.
        signed: Whether values have both signs; None to look at the values.

    Returns:
        uint8 array (h, w, 3).

    Raises:
        ValueError: If the map has another shape.

    >>> map_picture(np.array([[-1.0, 0.0, 1.0]]))[0]
    array([[  5,  48,  97],
           [247, 246, 246],
           [103,   0,  31]], dtype=uint8)
    """
    shares, is_signed = _shares(values, scale, signed)
    if shares.ndim == 3:
        return np.round(255 * (shares + 1) / 2).astype("uint8")
    return _colors(shares, is_signed)


def overlay(
    image: np.ndarray,
    values: np.ndarray,
    *,
    scale: float | None = None,
    signed: bool | None = None,
) -> np.ndarray:
    """Lay a map over the gray image; the stronger the value, the stronger the color.

    Args:
        image: Array (h, w, 1 or 3) of 0..255.
        values: Array (h, w) or (h, w, c), of which the strongest channel is shown.
        scale: As in `map_picture`.
        signed: As in `map_picture`.

    Returns:
        uint8 array (h, w, 3).

    Raises:
        ValueError: If the map is not of the image's size.

    >>> overlay(np.full((1, 2, 3), 100), np.array([[0.0, 5.0]]))[0, 0]
    array([100, 100, 100], dtype=uint8)
    """
    values = np.asarray(values)
    if values.ndim == 3:
        strongest = np.abs(values).argmax(axis=-1)[..., None]
        values = np.take_along_axis(values, strongest, axis=-1)[..., 0]
    if values.shape != image.shape[:2]:
        raise ValueError(
            f"the map has the shape {values.shape}, and the image {image.shape}: equal heights and "
            "widths are needed"
        )
    shares, is_signed = _shares(values, scale, signed)
    opacity = STRONGEST * np.abs(shares)[..., None]
    gray = np.clip(image, 0, 255).mean(axis=-1, keepdims=True)
    mixed = (1 - opacity) * gray + opacity * _colors(shares, is_signed)
    return np.round(mixed).astype("uint8")


def image_grid(
    images: np.ndarray,
    *,
    columns: int | None = None,
    scale: float | None = None,
    signed: bool | None = None,
    least: int = 1,
) -> np.ndarray:
    """Put maps or filters into one picture, with one scale for all.

    Args:
        images: Array (n, h, w, 1 or 3). Signed ones are symmetric around 0, which is gray; positive
            ones go from black to white.
        columns: Images in a row; None for about a square.
        scale: Value of white; None for the largest absolute value.
        signed: Whether values have both signs; None to look at the values.
        least: Smallest height and width of an image in the picture: smaller ones are enlarged by
            repeating their pixels.

    Returns:
        uint8 array (height, width, 3): images with white lines between them.

    Raises:
        ValueError: If there is nothing to draw.

    >>> image_grid(np.array([-1.0, 0.0, 2.0, 1.0]).reshape(4, 1, 1, 1), columns=4)[1, 1::2, 0]
    array([ 64, 128, 255, 191], dtype=uint8)
    """
    require_data(images=images)
    images = np.asarray(images, "float64")
    signed = bool((images < 0).any()) if signed is None else signed
    shares = np.clip(images / (scale or np.abs(images).max() or 1.0), -1 if signed else 0, 1)
    shares = np.broadcast_to((shares + 1) / 2 if signed else shares, (*shares.shape[:3], 3))
    times = max(1, -(-least // min(shares.shape[1:3])))
    shares = shares.repeat(times, axis=1).repeat(times, axis=2)
    columns = columns or int(np.ceil(np.sqrt(len(shares))))
    rows = -(-len(shares) // columns)
    line = max(1, times // 4)
    height, width = (side + line for side in shares.shape[1:3])
    grid = np.ones((rows * height + line, columns * width + line, 3))
    for place, image in enumerate(shares):
        row, column = (place // columns) * height + line, (place % columns) * width + line
        grid[row : row + image.shape[0], column : column + image.shape[1]] = image
    return np.floor(255 * grid + 0.5).astype("uint8")


def occlusion_map(
    probabilities: np.ndarray,
    image_size: tuple[int, int],
    *,
    patch: int,
    stride: int,
    name: str,
    whole: float,
) -> Figure:
    """Draw the probability of a class by the place of a patch that covers the image.

    Args:
        probabilities: Array (rows, columns), as `visualization.occlusion` returns for an image.
        image_size: Height and width of the image in pixels.
        patch: Side of the patch in pixels.
        stride: Pixels from a patch to the next.
        name: Name of the class.
        whole: Probability of the class for the whole image.

    Returns:
        A matplotlib figure: the heat map in pixels of the image, each cell in the middle of its
        patch, with the patch of the lowest probability.

    >>> figure = occlusion_map(
    ...     np.array([[0.5, 0.9]]), (4, 8), patch=4, stride=4, name="cat", whole=0.95
    ... )
    >>> figure.axes[0].images[0].get_clim()
    (0.5, 0.95)
    """
    from matplotlib.patches import Rectangle

    height, width = image_size
    figure, (ax,) = new_figure(width=5, height=4)
    low, high = float(probabilities.min()), max(float(probabilities.max()), whole)
    first = (patch - 1) / 2 - stride / 2
    rows, columns = probabilities.shape
    extent = (first, first + columns * stride, first + rows * stride, first)
    heat = ax.imshow(probabilities, extent=extent, vmin=low, vmax=high, cmap="viridis")
    row, column = np.unravel_index(probabilities.argmin(), probabilities.shape)
    corner = (column * stride - 0.5, row * stride - 0.5)
    ax.add_patch(Rectangle(corner, patch, patch, fill=False, edgecolor=ORANGE, linewidth=2))
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="pixels", ylabel="pixels")
    ax.grid(False)
    ax.set_title(f"P({shortened([name])[0]}) with a patch here", loc="left")
    bar = figure.colorbar(heat, ax=ax, fraction=0.046)
    bar.ax.axhline(whole, color=ORANGE, linewidth=3)
    bar.set_label("line: without a patch")
    return figure


def explained_image(
    image: np.ndarray,
    probabilities: Mapping[str, float],
    maps: Mapping[str, np.ndarray],
    *,
    columns: int = 6,
) -> Figure:
    """Draw an image, its likeliest classes and its maps in one figure.

    Args:
        image: Array (h, w, 1 or 3) of 0..255.
        probabilities: {class: probability}, the likeliest first.
        maps: {title: map}, as in `map_picture`.
        columns: Panels in a row.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there are no classes.

    >>> figure = explained_image(np.zeros((8, 8, 1)), {"cat": 0.9}, {"CAM": np.eye(8)})
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['image', 'probability', 'CAM']
    """
    from matplotlib.figure import Figure

    require_data(probabilities=probabilities)
    panels = 2 + len(maps)
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(2.1 * columns, 2.4 * rows), layout="constrained")
    axes = [*figure.subplots(rows, columns, squeeze=False).flat]
    for ax in axes[panels:]:
        ax.remove()
    first, bars, *others = axes[:panels]
    pictures = {"image": _three_channels(image)}
    pictures |= {title: map_picture(one) for title, one in maps.items()}
    for ax, (title, picture) in zip((first, *others), pictures.items(), strict=True):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(title, loc="left", fontsize=10)
        ax.set_axis_off()
    names = shortened([*probabilities])
    bars.barh(range(len(names)), [*probabilities.values()], color=BLUE, height=0.3)
    for place, (name, share) in enumerate(zip(names, probabilities.values(), strict=True)):
        bars.text(0, place - 0.25, f"{name} {share:.2f}", fontsize=8, va="bottom")
    bars.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.8))
    bars.set_title("probability", loc="left", fontsize=10)
    bars.set_box_aspect(1)
    bars.set_axis_off()
    return figure


def crop(image: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Cut a box out of an image; parts beyond the border are left out.

    Args:
        image: Array (h, w, c).
        box: Top, left, bottom and right (exclusive), in pixels.

    Returns:
        Array (height, width, c).

    >>> crop(np.zeros((8, 8, 3)), (-2, 3, 4, 12)).shape
    (4, 5, 3)
    """
    top, left, bottom, right = box
    return image[max(top, 0) : bottom, max(left, 0) : right]


def _shares(values, scale, signed):
    """Return values in units of the scale, within -1..1, and whether they are signed."""
    values = np.asarray(values, "float64")
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2 and values.shape[2:] != (3,):
        raise ValueError(f"a map has the shape (h, w) or (h, w, 3); received {values.shape}")
    signed = bool((values < 0).any()) if signed is None else signed
    return np.clip(values / (scale or map_scale(values)), -1 if signed else 0, 1), signed


def _colors(shares, signed):
    from matplotlib import colormaps

    shares = (shares + 1) / 2 if signed else shares
    return colormaps[SIGNED if signed else POSITIVE](shares, bytes=True)[..., :3]


def _three_channels(image):
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
