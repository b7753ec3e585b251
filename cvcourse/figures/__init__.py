"""Functions from arrays and texts to matplotlib figures."""

from cvcourse.figures._image_table import image_table
from cvcourse.figures.attention import alignment_matrices, self_attention_matrices, spotlight
from cvcourse.figures.attribution import (
    crop,
    explained_image,
    image_grid,
    map_picture,
    map_scale,
    occlusion_map,
    overlay,
)
from cvcourse.figures.compression import accuracy_by_bytes, error_by_ratio, weight_histograms
from cvcourse.figures.confusion import confusion_matrix
from cvcourse.figures.curves import compared_curves, gradient_reach, training_curves
from cvcourse.figures.doctor import (
    gradient_errors,
    memorized_examples,
    range_test,
    step_times,
    updates_and_signals,
)
from cvcourse.figures.ensembles import (
    accuracy_by_seed,
    accuracy_gains,
    cyclic_runs,
    ensemble_errors,
    first_snapshots,
)
from cvcourse.figures.feature_space import feature_map
from cvcourse.figures.figure import (
    data_url,
    logarithmic,
    new_figure,
    palette,
    save_figure,
    styles,
    svg,
)
from cvcourse.figures.gradient_flow import gradients_through_time
from cvcourse.figures.grid_search import accuracy_grids
from cvcourse.figures.hardware import energy_by_layer, roofline_diagram
from cvcourse.figures.initialization import activation_histograms
from cvcourse.figures.landscape import accuracy_by_work
from cvcourse.figures.quantization import accuracy_by_bits
from cvcourse.figures.random_against_grid import search_planes
from cvcourse.figures.reliability import reliability_diagram
from cvcourse.figures.surfaces import surface_paths
from cvcourse.figures.sweep import (
    importance_bars,
    objective_by_value,
    parallel_coordinates,
    trial_curves,
)
from cvcourse.figures.units import colored_text

__all__ = [
    "accuracy_by_bits",
    "accuracy_by_bytes",
    "accuracy_by_seed",
    "accuracy_by_work",
    "accuracy_gains",
    "accuracy_grids",
    "activation_histograms",
    "alignment_matrices",
    "colored_text",
    "compared_curves",
    "confusion_matrix",
    "crop",
    "cyclic_runs",
    "data_url",
    "energy_by_layer",
    "ensemble_errors",
    "error_by_ratio",
    "explained_image",
    "feature_map",
    "first_snapshots",
    "gradient_errors",
    "gradient_reach",
    "gradients_through_time",
    "image_grid",
    "image_table",
    "importance_bars",
    "logarithmic",
    "map_picture",
    "map_scale",
    "memorized_examples",
    "new_figure",
    "objective_by_value",
    "occlusion_map",
    "overlay",
    "palette",
    "parallel_coordinates",
    "range_test",
    "reliability_diagram",
    "roofline_diagram",
    "save_figure",
    "search_planes",
    "self_attention_matrices",
    "spotlight",
    "step_times",
    "styles",
    "surface_paths",
    "svg",
    "training_curves",
    "trial_curves",
    "updates_and_signals",
    "weight_histograms",
]
