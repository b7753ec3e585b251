"""Histograms of what initialized layers give."""

from cvcourse.figures.figure import BLUE, require_data


def activation_histograms(activations, deviations):
    """Draw histograms: a network a row, a layer a column.

    Args:
        activations: {network: values (n,) of each layer}. A network whose name has "tanh" in it
            gives values of -1..1, another one values of 0 and above.
        deviations: {network: standard deviation of each layer}, which are written above.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    require_data(activations=activations)
    columns = max(map(len, activations.values()))
    figure = Figure(figsize=(1.6 * columns, 1.5 * len(activations)), layout="constrained")
    grid = figure.subplots(len(activations), columns, squeeze=False)
    for axes, (name, layers) in zip(grid, activations.items(), strict=True):
        low, high = (-1.05, 1.05) if "tanh" in name else (0, 3)
        for ax, values, deviation in zip(axes, layers, deviations[name], strict=True):
            ax.hist(values, bins=41, range=(low, high), color=BLUE)
            ax.set_title(f"std {deviation:.1e}", fontsize=8)
            ax.set_yticks([])
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right", "left"]].set_visible(False)
        axes[0].set_ylabel(name, fontsize=9)
    for number, ax in enumerate(grid[-1], start=1):
        ax.set_xlabel(f"layer {number}", fontsize=9)
    return figure
