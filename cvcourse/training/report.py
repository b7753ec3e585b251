"""Report of a run as one self-contained HTML page, and the metrics that mark it as finished."""

import importlib.resources
import io

import numpy as np

from cvcourse.errors import RunError
from cvcourse.figures import data_url, svg
from cvcourse.files import with_paths, write_json, write_text
from cvcourse.training._machine import machine, versions

SHARP = 96  # side in pixels up to which a picture is a PNG; JPEG is faster and smaller


def write_report(
    workdir,
    *,
    title,
    metrics,
    config,
    lead=(),
    tiles=(),
    tables=None,
    texts=None,
    highlighted=None,
    figures=None,
    galleries=None,
    sections=(),
    file="metrics.json",
):
    """Write report.html, then the metrics file, and print the paths.

    The page needs no other files and no network. It shows the parts in the order of the arguments,
    and the settings at the end.

    Args:
        workdir: The run's directory, as a pathlib.Path.
        title: Title of the page.
        metrics: Dict for the metrics file. `machine` and `versions` are added.
        config: {setting: value}.
        lead: Paragraphs at the start.
        tiles: Dicts with a `value` and the `words` below it; `verdict` (pass, fail or skip)
            determines the color, `href` is a link.
        tables: {caption: rows of texts, titles first}.
        texts: {caption: preformatted text}.
        highlighted: {caption: pairs (text, color)}.
        figures: {caption: matplotlib figure}.
        galleries: {caption: pairs (image (h, w, c) of 0..255, text)}. Empty ones are left out.
        sections: Additional parts: dicts with a `caption` and any of `paragraphs`, `advice`,
            `table`, `text`, `highlighted`, `figure`, `picture` (an image (h, w, c) of 0..255),
            `gallery` (rows of pairs; None for an image gives text alone), `notes`, shown in this
            order. A cell (share, text) of a table is shown as a bar. `fold` is the title under
            which a long table is collapsed; `large` enlarges the images of the gallery; `beside`
            shows table, figure and gallery side by side; `wide` keeps a figure or picture from
            shrinking to the width of a phone; `verdict` is shown with the caption; `name` is the
            target of links.
        file: Name of the metrics file.

    Returns:
        The metrics as they are written, with the paths of the directory and of its model, which are
        not in the file (`files.with_paths`).

    Raises:
        RunError: If a file cannot be written.
    """
    import jinja2

    metrics = {**metrics, "machine": machine(), "versions": versions()}
    kinds = {"table": tables, "text": texts, "highlighted": highlighted, "figure": figures}
    galleries = (galleries or {}).items()
    kinds["gallery"] = {caption: [row] for caption, row in galleries if row}
    parts = [
        {"caption": caption, kind: content}
        for kind, contents in kinds.items()
        for caption, content in (contents or {}).items()
    ]
    source = importlib.resources.files("cvcourse.training").joinpath("report.html.j2")
    # Class names and paths are user input, which autoescape renders as plain text.
    environment = jinja2.Environment(autoescape=True)
    environment.filters.update(svg=svg, picture=picture)
    page = environment.from_string(source.read_text("utf-8")).render(
        title=title,
        metrics=metrics,
        config=config,
        lead=lead,
        tiles=tiles,
        sections=[*parts, *sections],
    )
    try:
        write_text(workdir / "report.html", page)
        write_json(workdir / file, metrics)
    except OSError as error:
        raise RunError(f"cannot write to {workdir}: {error.strerror}") from error
    print(f"report: {workdir / 'report.html'}")
    if (workdir / "model.keras").exists():
        print(f"model: {workdir / 'model.keras'}")
    return with_paths(metrics, workdir)


def picture(image):
    """Encode raw pixels as an image for the page.

    Args:
        image: Array (h, w, c) of 0..255.

    Returns:
        A data URL.
    """
    from PIL import Image

    image = np.uint8(np.clip(np.round(image), 0, 255))
    kind = "png" if max(image.shape[:2]) <= SHARP else "jpeg"
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, kind)
    return data_url(f"image/{kind}", buffer.getvalue())
