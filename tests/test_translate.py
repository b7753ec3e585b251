"""Dates into ISO 8601: what the task is, and that the recipe learns, goes on and says it right."""

import csv
import datetime
import json
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from crash import started, until
from cvcourse.recipes import translate
from recipe_runs import assert_same_run

from cvcourse import __main__ as command_line
from cvcourse import data, sequence, training
from cvcourse.data import dates
from cvcourse.errors import UsageError

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = dict(
    cell="lstm",
    units=8,
    embedding=4,
    dropout=0.3,
    examples=60,
    held_out=20,
    epochs=3,
    batch_size=20,
)
STEPS = 3  # an epoch
YEAR = [datetime.date(1984, 1, 1) + datetime.timedelta(day) for day in range(366)]


def config(workdir, **settings):
    return translate.Config(**{**SMALL, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, translate.main(config(workdir))


# ---- the task ----


def parsed(text):
    """The date that a text means, by strptime; a weekday must be the date's."""
    for number, word in enumerate(dates.ORDINALS, start=1):
        text = re.sub(rf"the {word}\b(?!-)", str(number), text)
    text = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", text).replace(" of ", " ")
    for number, roman in enumerate(dates.ROMAN, start=1):
        text = text.replace(f" {roman} ", f" {number} ")
    weekday = re.match(r"(...)\w*day,? |(mon|tue|wed|thu|fri|sat|sun) ", text)
    text = text[weekday.end() :] if weekday else text
    found = set()
    for form in (
        *("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y"),
        *("%d %m %Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    ):
        try:
            found.add(datetime.datetime.strptime(text, form).date())
        except ValueError:
            continue
    (date,) = found
    if weekday:
        assert ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][date.weekday()] in weekday[0]
    return date


def test_every_way_means_its_date():
    for date in YEAR:
        for text in dates.ways(date):
            assert parsed(text) == date, text


def test_no_text_means_two_dates():
    texts = [(text, date) for date in YEAR for text in {*dates.ways(date)}]
    assert len(dict(texts)) == len(texts)
    assert {*"".join(text for text, _ in texts)} == {*dates.CHARACTERS}
    assert max(len(text) for text, _ in texts) == dates.LONGEST


def test_ordinals_are_english():
    assert len(dates.ORDINALS) == 31
    for day, word, short in ((1, "first", "1st"), (12, "twelfth", "12th"), (22, "", "22nd")):
        texts = dates.ways(datetime.date(1984, 3, day))
        assert f"{short} of march 1984" in texts
        assert any(word in text for text in texts)
    assert "the thirty-first of march 1984" in dates.ways(datetime.date(1984, 3, 31))


def test_splits_share_no_date_and_are_the_same_each_time():
    found = dates.load(500, 100)
    splits = [found.train, found.validation, found.test]
    assert [len(split) for split in splits] == [500, 100, 100]
    targets = [pair.target for split in splits for pair in split]
    assert len({*targets}) == len(targets)
    assert all(parsed(pair.source).isoformat() == pair.target for pair in found.train)
    assert found == dates.load(500, 100)
    assert found != dates.load(500, 100, seed=1)
    more = dates.load(800, 100)
    assert (more.train[:500], more.test) == (found.train, found.test)
    counts = np.bincount([pair.way for pair in found.train])
    assert len(counts) == len(dates.EXAMPLES) and counts.max() - counts.min() <= 1
    assert [(pair.source, pair.target) for pair in found.test[:2]] == [
        ("31 march 2084", "2084-03-31"),
        ("december 25, 2074", "2074-12-25"),
    ]


def test_all_days_are_taken_but_no_more():
    every = dates.load(73_049 - 2, 1)
    assert len({pair.target for pair in every.train}) == 73_047
    with pytest.raises(ValueError, match="there are 73049 days from 1900 to 2099"):
        dates.load(73_048, 1)


def test_teacher_forcing():
    given, wanted = translate.targets(["1984-03-03", "19"])
    digits = {c: 3 + i for i, c in enumerate("-0123456789")}
    first = [digits[c] for c in "1984-03-03"]
    assert given[0].tolist() == [data.START, *first]
    assert wanted[0].tolist() == [*first, data.END]
    assert given[1].tolist() == [data.START, digits["1"], digits["9"]] + 8 * [data.PAD]
    assert wanted[1].tolist() == [digits["1"], digits["9"], data.END] + 8 * [data.PAD]
    inputs, labels, weights = translate.rows(dates.load(3, 1).train)
    assert inputs["source"].shape == (3, dates.LONGEST)
    assert weights.tolist() == (labels != data.PAD).astype(float).tolist()


# ---- the recipe ----


def test_metrics_are_those_of_the_saved_model(finished):
    """The loss of what is taught, and exact match of what is said step after step, in NumPy."""
    workdir, metrics = finished
    assert "translate" in command_line.recipes()
    model = keras.models.load_model(workdir / "model.keras", compile=False)
    pairs = dates.load(SMALL["examples"], SMALL["held_out"])
    inputs, labels, _ = translate.rows(pairs.validation)
    logits = model.predict(inputs, verbose=0).astype("float64")
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(logs, labels[..., None], -1).mean()
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
    source = translate.sources([pair.source for pair in pairs.test])
    tokens = np.full((len(source), 12), data.START, "int32")
    for step in range(11):
        said = model.predict({"source": source, "tokens": tokens[:, :-1]}, verbose=0)
        tokens[:, step + 1] = said[:, step].argmax(-1)
    texts = [translate.text_of(row) for row in tokens]
    generator = translate.best(config(workdir), workdir)[1]
    assert translate.translated(generator, [pair.source for pair in pairs.test]) == texts
    right = np.mean([pair.target == text for pair, text in zip(pairs.test, texts, strict=True)])
    assert metrics["test_exact_match"] == right
    assert metrics["parameters"] == model.count_params()


def test_what_a_run_leaves(finished):
    workdir, metrics = finished
    assert json.loads((workdir / "metrics.json").read_text()) == metrics
    with open(workdir / "history.csv") as file:
        rows = [*csv.DictReader(file)]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert (len(rows), int(best["epoch"])) == (metrics["epochs"], metrics["best_epoch"])
    assert float(best["val_loss"]) == metrics["val_loss"]
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2  # curves and attention
    for pair in dates.load(SMALL["examples"], SMALL["held_out"]).test[:16]:
        assert f"<td>{pair.source}</td><td>{pair.target}</td>" in page


class Stop(BaseException):
    """A crash of the test's making."""


def test_resume_is_exact_from_within_an_epoch(finished, tmp_path, monkeypatch):
    after = training.ExactResume.on_train_batch_end

    def hook(self, batch, logs=None):
        after(self, batch, logs)
        if self.step == STEPS + 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(training.ExactResume, "on_train_batch_end", hook)
        with pytest.raises(Stop):
            translate.main(config(tmp_path, checkpoint_minutes=1e-9))
    translate.main(config(tmp_path))
    assert_same_run(finished[0], tmp_path)


@pytest.mark.slow
def test_kill_9_and_go_on(finished, tmp_path):
    settings = {**SMALL, "workdir": tmp_path / "war", "checkpoint_minutes": 1e-9}
    command = [sys.executable, "-m", "cvcourse", "translate"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    process = started(command)
    until(lambda: any((tmp_path / "war").glob("checkpoints/*.npz")), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "war" / "metrics.json").exists()
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert_same_run(finished[0], tmp_path / "war")


def test_a_finished_run_translates_and_trains_nothing(finished, capsys, monkeypatch):
    workdir, metrics = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
    monkeypatch.setattr(keras.Model, "fit", None)
    assert translate.main(config(workdir, translate="March 3, 1984")) == metrics
    out = capsys.readouterr().out
    assert "is finished" in out
    assert re.search(r"^March 3, 1984 -> [-\d]*$", out, re.MULTILINE)
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translate": "3 märz 1984"}, "no date that was learned from has the character 'ä'"),
        ({"translate": "3" * 37}, "a date of up to 36 characters, such as '3 march 1984'; receiv"),
        ({"translate": ""}, "received 0: ''"),
        ({"examples": 10}, "batch_size=20 exceeds the 10 training examples"),
        ({"examples": 80_000}, "there are 73049 days"),
        ({"model": "transfomer"}, "did you mean 'transformer'"),
        ({"model": "transformer", "units": 6}, "4 heads must share the channels"),
    ],
)
def test_what_it_refuses_before_it_writes(changes, message, tmp_path, capsys):
    settings = {**SMALL, "workdir": tmp_path / "run", **changes}
    assert translate.cli([f"--{name}={value}" for name, value in settings.items()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_runs_directory_is_refused(finished):
    with pytest.raises(UsageError, match="differs in seed"):
        translate.main(config(finished[0], seed=1))


@pytest.mark.parametrize(
    ("settings", "heads"),
    [
        (dict(attention="dot_product", cell="gru"), 1),
        (dict(model="transformer", heads=2, depth=1, dropout=0.0), 2),
    ],
    ids=str,
)
def test_attention_is_a_share_of_what_is_read(settings, heads):
    setting = translate.Config(**{**SMALL, **settings})
    architecture, knobs = translate.net(setting)
    model = sequence.build(architecture, **knobs)
    pairs = dates.load(5, 1).train
    weights = translate.looks(setting, model, pairs)
    assert weights.shape == (5, heads, 11, dates.LONGEST)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    for pair, matrix in zip(pairs, weights, strict=True):
        assert not matrix[..., len(pair.source) :].any()
    figure = translate.draw_attention(weights, pairs)
    assert len(figure.axes) == 5 * heads
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "".join(labels) == pairs[0].source.replace(" ", "␣")
    assert figure.axes[0].get_images()[0].get_array().shape == (11, len(pairs[0].source))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_defaults_reach_99_percent(seed, tmp_path):
    setting = translate.Config(seed=seed, workdir=str(tmp_path / "run"))
    assert translate.main(setting)["test_exact_match"] >= 0.99
