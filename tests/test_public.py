"""The public API: each name has type hints, and a docstring with sections and an example that runs.

test_docstrings.py runs the examples. Names of the version before warn and give the new ones.
"""

import ast
import importlib
import inspect
import pathlib
import re
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PUBLIC = {
    "cvcourse.models": """
        backbone build builder_args cost family features input_shape_for list require_savable
        stochastic_depth with_preprocessing
    """,
    "cvcourse.models.pretrained": """
        FeatureMaps build_source candidates feature_extractor find imagenet_classes
        imagenet_synsets is_file load load_keras load_published load_state_dict load_trained
        preprocess published resize_of scales_pixels with_preprocessing with_resizing
    """,
    "cvcourse.sequence": """
        AttendingLSTM Captioner GRUCell Generator LSTMCell LearnedPositions RNNCell
        SinusoidalPositions TextSampler Translator attention_maps bleu build builder_args
        gradient_norms input_gradient_norms interpretable_units load_torch share_of_first_half
    """,
    "cvcourse.data": """
        CaptionedPhoto Captions Dataset Split Vocabulary channel_statistics fingerprint_rows
        hold_out load load_captions load_text photos read_photo read_text split_text
        steps_per_epoch stream stream_rows stream_windows to_shape unspaced usual_augmentation
        windows_in_order windows_per_epoch words
    """,
    "cvcourse.layers": """
        AdaptiveAveragePooling2D AttentionWeights AveragePooling2D BatchNormalization
        ChannelShuffle ClassToken ColumnDraw Cutout DepthwiseConv2D DropConnect DropPath
        FractalJoin FractionalMaxPooling2D GlobalAveragePooling1D GroupedConv2D LayerScale
        LocalResponseNorm Maxout MeanImage NearestNeighbors PCAColor PadTo PositionEmbedding
        RadialBasis ScheduledDropPath SparseConv2D Whitening scaled_tanh
    """,
    "cvcourse.optimization": """
        AlmostAdam CourseAdagrad CourseAdam CourseAdamW CourseRMSprop CourseSGD LearningRateRange
        MulticlassSVM Objective discriminative_rates flat_weights l2_on_kernels lbfgs
        learning_rate_range linear_scaling newton optimizer sampled_schedule schedule
        set_flat_weights
    """,
    "cvcourse.regularization": """
        EMA SWA average_saved average_weights averaged_passes ensemble estimate_batch_norm
        flip_averaged ten_crop
    """,
    "cvcourse.regularization.calibration": """
        accuracy disagreement expected_calibration_error log_mean measures negative_log_likelihood
        reliability reliability_of_mean
    """,
    "cvcourse.figures": """
        accuracy_by_bits accuracy_by_bytes accuracy_by_seed accuracy_by_work accuracy_gains
        accuracy_grids activation_histograms alignment_matrices colored_text compared_curves
        confusion_matrix crop cyclic_runs data_url energy_by_layer ensemble_errors
        error_by_ratio explained_image feature_map filtered_photos first_snapshots gradient_errors
        activation_histograms alignment_matrices colored_text compared_curves
        confusion_matrix crop cyclic_runs data_url decision_regions energy_by_layer
        ensemble_errors error_by_ratio explained_image feature_map first_snapshots gradient_errors
        confusion_matrix crop cyclic_runs data_url energy_by_layer ensemble_errors
        error_by_ratio explained_image feature_map filtered_photos first_snapshots gradient_errors
        gradient_reach gradients_through_time image_grid importance_bars logarithmic
        accuracy_grids activation_histograms alignment_matrices colored_text compared_curves
        confusion_matrix crop cyclic_runs data_url energy_by_layer ensemble_errors
        error_by_ratio explained_image feature_map first_snapshots gradient_errors
        gradient_reach gradients_through_time image_grid image_table importance_bars logarithmic
        activation_histograms alignment_matrices colored_text compared_curves
        confusion_matrix crop cross_validated_accuracy cyclic_runs data_url distance_matrix
        energy_by_layer ensemble_errors error_by_ratio explained_image feature_map
        first_snapshots gradient_errors gradient_reach gradients_through_time image_grid
        image_neighbors importance_bars logarithmic
        map_picture map_scale memorized_examples new_figure objective_by_value occlusion_map
        overlay palette parallel_coordinates range_test reliability_diagram roofline_diagram
        save_figure search_planes self_attention_matrices spotlight step_times styles
        surface_paths svg time_by_kernel training_curves trial_curves updates_and_signals
        weight_histograms
    """,
    "cvcourse.classic": "GradientCheck gradient_check",
    "cvcourse.classic.attention": """
        attention_backward attention_forward multi_head_attention_backward
        multi_head_attention_forward
    """,
    "cvcourse.classic.captioning_rnn": "CaptioningRNN",
    "cvcourse.classic.colors": "rgb_to_hsv",
    "cvcourse.classic.convolution": """
        conv_backward_im2col conv_backward_naive conv_forward_im2col conv_forward_naive conv_sizes
    """,
    "cvcourse.classic.convolutional_net": "ThreeLayerConvNet",
    "cvcourse.classic.diffusion": "q_sample sigmoid_schedule",
    "cvcourse.classic.distances": """
        check_metric compute_distances_no_loops compute_distances_one_loop
        compute_distances_two_loops fill_distances row_distances row_parts
    """,
    "cvcourse.classic.dropout": "dropout_backward dropout_forward",
    "cvcourse.classic.fast_convolution": """
        conv_direct conv_fft conv_im2col multiplications rounding_error
    """,
    "cvcourse.classic.features": "color_histogram_hsv extract_features hog hog_feature",
    "cvcourse.classic.filters": "filter_image frequency_response",
    "cvcourse.classic.gelu": "gelu_backward gelu_forward",
    "cvcourse.classic.generative": """
        bce_loss discriminator_loss generator_loss ls_discriminator_loss ls_generator_loss
        parameter_shapes
    """,
    "cvcourse.classic.layers": """
        affine_backward affine_forward leaky_relu_backward leaky_relu_forward relu_backward
        relu_forward sigmoid_backward sigmoid_forward tanh_backward tanh_forward
    """,
    "cvcourse.classic.linear_classifiers": """
        LinearClassifier LinearSVM Softmax bias_trick templates
    """,
    "cvcourse.classic.losses": "softmax_loss softmax_loss_naive svm_loss svm_loss_naive",
    "cvcourse.classic.lower_bounds": "BlockSums Products column_blocks",
    "cvcourse.classic.nearest_neighbors": "KNearestNeighbors cross_validate majority",
    "cvcourse.classic.neighbor_search": "Search",
    "cvcourse.classic.nets": "FullyConnectedNet Net TwoLayerNet",
    "cvcourse.classic.normalization": """
        batchnorm_backward batchnorm_forward gradients layernorm_backward layernorm_forward
        normalize
    """,
    "cvcourse.classic.optim": "adam rmsprop sgd sgd_momentum",
    "cvcourse.classic.patch_embedding": "patch_embedding_backward patch_embedding_forward",
    "cvcourse.classic.pooling": """
        avg_pool_backward avg_pool_forward max_pool_backward_fast max_pool_backward_naive
        max_pool_forward_fast max_pool_forward_naive
    """,
    "cvcourse.classic.positional_encoding": "positional_encoding",
    "cvcourse.classic.precision": "product",
    "cvcourse.classic.random_search": "random_local_search random_search",
    "cvcourse.classic.recurrent": "lstm_backward lstm_forward rnn_backward rnn_forward",
    "cvcourse.classic.recurrent_cells": """
        lstm_step_backward lstm_step_forward rnn_step_backward rnn_step_forward
    """,
    "cvcourse.classic.regularization": "elastic_net l1 l2 max_norm",
    "cvcourse.classic.sanity_checks": "SanityCheck sanity_checks",
    "cvcourse.classic.self_supervised": """
        compute_sim_matrix cosine_similarity sim sim_positive_pairs simclr_loss simclr_loss_naive
    """,
    "cvcourse.classic.shapes": "check_gradient floating sizes",
    "cvcourse.classic.solver": "Solver",
    "cvcourse.classic.spatial_normalization": """
        spatial_batchnorm_backward spatial_batchnorm_forward spatial_groupnorm_backward
        spatial_groupnorm_forward
    """,
    "cvcourse.classic.spiral": "spiral",
    "cvcourse.classic.temporal": """
        temporal_affine_backward temporal_affine_forward temporal_softmax_loss
        word_embedding_backward word_embedding_forward
    """,
    "cvcourse.classic.transformer": """
        decoder_layer_backward decoder_layer_forward encoder_layer_backward encoder_layer_forward
        layer_params
    """,
    "cvcourse.classic.windows": """
        col2im crop_images im2col output_size pad_images window_pixels window_slices
    """,
    "cvcourse.classic.winograd": "conv_winograd multiplications nested tile_counts",
    "cvcourse.compression": """
        DenseSparseDense FakeQuant FilterGroup MagnitudePruning bake binarize calibrate
        cubic_density density deployable energy export factorize filter_groups fold_batch_norm
        kmeans magnitude_masks prune prune_filters quantization_aware quantized_bytes roofline
        share_weights spectrum ternarize zero_filters
    """,
    "cvcourse.compression.compressed_file": "Size class_names read sizes write",
    "cvcourse.compression.huffman": "code_lengths decode encode",
    "cvcourse.training": """
        Evaluation class_names evaluate facts features fit_probe layer_statistics load_model machine
        nearest read_history save_model tsne vector_extensions versions
    """,
    "cvcourse.tuning": "HyperModel ask default_space oracle register",
    "cvcourse.visualization": """
        Method ReceptiveField activations boxes cam class_image codes completeness_delta
        dead_filters deconvnet deletion dream dream_objective dream_step explain fgsm
        first_layer_filters fooling_image grad_cam gradient_times_image gram grid_of_thumbnails
        grid_pointing guided_backprop guided_grad_cam insertion integrated_gradients
        inversion_loss invert neighbors occlusion occlusion_patch pca_map randomization_test
        receptive_field rectifiers saliency smooth_grad stages strongest_patches style_loss
        style_transfer to_pixels trust_panel tsne_map with_rectifiers
    """,
    "cvcourse.compression.deployment": "read",
    "cvcourse.compression.litert": "convert predict",
    "cvcourse.recipe": "check field load_config parse",
}
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names.split()]
FORBIDDEN = ("The same", "Those", "What", "That of")  # beginnings of a docstring
WORDS = re.compile(r"\bbehind\b|'s affair|\bsaid\b|\bsays?\b|\balike\b", re.IGNORECASE)


def documented_parameters(docstring):
    """The names in the section Args of a docstring."""
    section = re.search(r"^Args:\n((?:(?: .*)?\n?)*)", docstring, re.M)
    return set(re.findall(r"^ {4}\*{0,2}(\w+)", section[1], re.M)) if section else set()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_public_name_is_typed_and_documented(module, name):
    thing = getattr(importlib.import_module(module), name)
    docstring = inspect.getdoc(thing)
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())
    bare = [p.name for p in parameters if p.annotation is p.empty]
    assert not bare, "parameters without a type hint"
    is_function = inspect.isfunction(thing)
    if is_function:
        assert signature.return_annotation is not signature.empty, "no type hint of what it returns"
    first, *_ = docstring.splitlines()
    assert first.endswith((".", ":")) and not first.startswith(FORBIDDEN)
    expected = {p.name for p in parameters} - ({"kwargs"} if not is_function else set())
    assert expected <= documented_parameters(docstring) | {"args"}
    if is_function and signature.return_annotation not in (None, "None"):
        assert "\nReturns:\n" in docstring or "\nYields:\n" in docstring
    if is_function:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
        if any(isinstance(node, ast.Raise) and node.exc for node in ast.walk(tree)):
            assert "\nRaises:\n" in docstring
    assert ">>> " in docstring, "no example"


@pytest.mark.parametrize("package", sorted({*PUBLIC, "cvcourse.figures"}))
def test_no_function_shadows_its_module(package):
    """`import cvcourse.optimization.newton as n` must not give a function."""
    module = importlib.import_module(package)
    if not hasattr(module, "__path__"):
        return
    folder = pathlib.Path(module.__path__[0])
    files = {path.stem for path in folder.glob("*.py")}
    shadowed = {
        name for name in files & {*vars(module)} if not inspect.ismodule(vars(module)[name])
    }
    assert not shadowed


def sources():
    return [path for part in ("cvcourse", "recipes") for path in (ROOT / part).rglob("*.py")]


def test_plain_words():
    """Words that are rarely the right ones: each of the few left is a true use."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if WORDS.search(line)
    ]
    assert len(found) <= 25, "\n".join(found)


def test_docstrings_begin_with_a_verb_or_a_noun():
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            known = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            if known and (ast.get_docstring(node) or "").startswith(FORBIDDEN):
                wrong.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not wrong


RENAMED = re.findall(
    r"^\| `(cvcourse[\w.]*)\.(\w+)` \| `(cvcourse[\w.]*)\.(\w+)` \|$",
    (ROOT / "CHANGELOG.md").read_text("utf-8"),
    re.M,
)


@pytest.mark.parametrize(("module", "old", "place", "new"), RENAMED)
def test_the_old_name_warns_and_gives_the_new_one(module, old, place, new):
    with pytest.warns(FutureWarning, match=rf"{old} is now called {re.escape(place)}\.{new};"):
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(place), new)


def test_every_old_name_is_in_the_changelog():
    listed = {(module, old) for module, old, *_ in RENAMED}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "renamed_attributes":
                parts = path.relative_to(ROOT).with_suffix("").parts
                module = ".".join(part for part in parts if part != "__init__")
                module = module if module.startswith("cvcourse") else f"cvcourse.{module}"
                names = {keyword.arg for keyword in node.keywords}
                assert names <= {old for of, old in listed if of == module}, module
