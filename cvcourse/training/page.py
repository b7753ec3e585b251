"""A report as one self-contained HTML page: sentences, tables, texts, pictures."""

import importlib.resources

from cvcourse.errors import RunError
from cvcourse.files import write_json, write_text
from cvcourse.training.machine import machine, versions
from cvcourse.training.report import picture, svg


def write_page(
    workdir,
    *,
    metrics,
    title,
    lead,
    tables,
    figures,
    config,
    texts=None,
    highlighted=None,
    galleries=None,
):
    """Write report.html and last metrics.json, with machine and versions; returns the metrics.

    `lead` are paragraphs, `tables` {caption: rows of texts, the titles first}, `figures` {caption:
    matplotlib figure}, `texts` {caption: text as it stands},
    `highlighted` {caption: pairs of a text and its color}, `galleries` {caption: rows of (image,
    text)}. Raises RunError where a file cannot be written.
    """
    import jinja2

    metrics = {**metrics, "machine": machine(), "versions": versions()}
    source = importlib.resources.files("cvcourse.training").joinpath("page.html.j2")
    template = jinja2.Environment(autoescape=True).from_string(source.read_text("utf-8"))
    page = template.render(
        title=title,
        metrics=metrics,
        lead=lead,
        tables=tables,
        figures={caption: svg(figure) for caption, figure in figures.items()},
        texts=texts or {},
        highlighted=highlighted or {},
        galleries={
            caption: [(picture(image), text) for image, text in row]
            for caption, row in (galleries or {}).items()
        },
        config=config,
    )
    try:
        write_text(workdir / "report.html", page)
        write_json(workdir / "metrics.json", metrics)
    except OSError as error:
        raise RunError(f"cannot write to {workdir}: {error.strerror}") from error
    return metrics
