"""Report of an examination: verdict, advice and figures of each step."""

from cvcourse import figures
from cvcourse.classic._gradient_check import RIGHT
from cvcourse.training import doctor

QUESTIONS = {
    "initial_loss": "Is the initial loss that of a guess?",
    "memorize": "Can the model overfit a few examples?",
    "learning_rate": "Does the loss decrease at this learning rate, for unseen images too?",
    "updates": "Are all weights updated, and do signals reach every layer?",
    "gradients": "Is the gradient correct?",
    "pipeline": "Is the input pipeline as fast as the model?",
}
COLUMNS = {  # field of LayerStatistics: title in the table of layers
    "mean": "mean",
    "std": "std",
    "saturated": "saturated",
    "dead": "dead",
    "gradient_mean": "gradient mean",
    "gradient_std": "gradient std",
    "gradient_norm": "gradient norm",
}
DETAILS = {  # name of a detail: its words in the report, if they differ from the name
    "unscaled": "loss without scaling down",
    "l2_term": "L2 term",
    "adam_rate": "learning rate of Adam",
    "share_of_fall": "share of the range test's decrease",
    "relation": "fit to the labels of unseen images, in standard deviations",
    "lowest": "smallest update of a kernel",
    "highest": "largest update of a kernel",
    "gradient_first_over_last": "gradient norm at the first over the last weights",
}


def examination_sections(findings, chance):
    """Create the parts of an examination's report.

    Args:
        findings: A Finding of each step.
        chance: Loss of a guess.

    Returns:
        A dict with `tiles` and `sections` for `write_report`.
    """
    tiles = [
        {
            "value": finding.verdict,
            "words": f"{number}. {finding.name}",
            "verdict": finding.verdict,
            "href": f"#{finding.name}",
        }
        for number, finding in enumerate(findings, start=1)
    ]
    sections = [_step(*step, chance) for step in enumerate(findings, start=1)]
    layers = next((f.curves["before"] for f in findings if "before" in f.curves), ())
    return {"tiles": tiles, "sections": [*sections, *([_layers(layers)] if layers else [])]}


def _step(number, finding, chance):
    section = {
        "caption": f"{number}. {QUESTIONS[finding.name]}",
        "name": finding.name,
        "verdict": finding.verdict,
        "advice": finding.advice,
    }
    if finding.value is not None:
        value, expected = (
            doctor.format_number(finding.value),
            doctor.format_number(finding.expected),
        )
        section["paragraphs"] = [f"{finding.name}: {value}, expected {expected}"]
    if finding.curves and finding.name in FIGURES:
        section["figure"] = FIGURES[finding.name](finding, chance)
    details = [
        f"{DETAILS.get(key, key.replace('_', ' '))} {doctor.format_number(value)}"
        for key, value in finding.details.items()
        if value is not None
    ]
    return section | {"notes": [" · ".join(details)] if details else []}


def _layers(layers):
    rows = [
        [
            row.name,
            row.kind,
            " x ".join(map(str, row.shape)),
            *map(_number, (getattr(row, name) for name in COLUMNS)),
        ]
        for row in layers
    ]
    return {
        "caption": "Layers, before training",
        "table": [["name", "layer", "output", *COLUMNS.values()], *rows],
        "fold": f"{len(rows)} layers: statistics of their outputs for a batch",
    }


def _number(value):
    return "" if value is None else f"{value:.3g}"


def _memorize(finding, chance):
    return figures.memorized_examples(finding.curves, doctor.MEMORIZED * chance)


def _learning_rate(finding, chance):
    tested = finding.curves["range"]
    return figures.range_test(
        tested.rates,
        tested.losses,
        tested.smoothed,
        rate=finding.value,
        suggested=finding.expected,
        at_rate=finding.curves["losses"],
        chance=chance,
        top=doctor.LOUD * chance,
    )


def _updates(finding, chance):
    rows = finding.curves["before"]
    return figures.updates_and_signals(
        [*finding.curves["shares"].values()],
        [row.std for row in rows],
        [row.gradient_std for row in finding.curves["after"]],
        usual=doctor.UPDATE,
        modest=doctor.MODEST,
        later=doctor.TRAINED,
        dead=[row.dead for row in rows],
        saturated=[row.saturated for row in rows],
    )


def _gradients(finding, chance):
    checks = [check for _, check in finding.curves["checks"]]
    errors, kinks = [check.error for check in checks], [check.kink for check in checks]
    return figures.gradient_errors(errors, kinks, RIGHT)


def _pipeline(finding, chance):
    return figures.step_times(finding.curves["works"], finding.curves["waits"])


FIGURES = {
    "memorize": _memorize,
    "learning_rate": _learning_rate,
    "updates": _updates,
    "gradients": _gradients,
    "pipeline": _pipeline,
}
