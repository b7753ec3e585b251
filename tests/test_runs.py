"""The list of runs in a folder: what each row tells, and of which state a run is."""

import dataclasses
import json

import pytest
from cvcourse.recipes import runs, train

from cvcourse import recipe
from cvcourse.errors import UsageError

BEGUN = {"recipe": "train", "version": "0.4.0", "semantics": 3, "model": "lenet5", "epochs": 15}
HISTORY = "epoch,loss,val_accuracy\n1,2.5,0.25\n2,2.0,0.5\n"


@pytest.fixture
def row(tmp_path):
    """Function of a run's files -> the cells of its row, but for the age."""

    def of(config=BEGUN, **files):
        (tmp_path / "config.json").write_text(json.dumps(config))
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name.replace("_", ".")).write_text(text)
        return list(runs.row(tmp_path).values())[:-1]

    return of


def test_a_run_is_listed_by_what_it_trains_on_and_how_far_it_is(row):
    begun = BEGUN | {"dataset": "/photos/flowers"}
    assert row(begun) == ["train", "lenet5", "flowers", "15", "–", "unfinished"]
    half = ["train", "lenet5", "flowers", "2/15", "validation accuracy 50.00%", "unfinished"]
    assert row(begun, history_csv=HISTORY) == half
    done = [*half[:4], "test accuracy 75.00%", "finished"]
    assert row(begun, metrics_json={"test_accuracy": 0.75, "val_accuracy": 1, "epochs": 2}) == done


def test_a_field_has_its_former_name(row, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Config(train.Config):
        dataset: str = recipe.field("digits", "dataset", renamed_from="data")

    monkeypatch.setattr(train, "Config", Config)
    assert row(BEGUN | {"data": "/photos/flowers"})[2] == "flowers"


def test_photos_are_listed_by_name(row):
    found = [
        row({"recipe": "explain", "photos": [f"/a/{n}.jpg" for n in "xyz"[:n]]}) for n in (1, 3)
    ]
    assert [cells[2] for cells in found] == ["x.jpg", "x.jpg,y.jpg,…"]


def test_a_probe_has_no_epochs(row):
    metrics = {"test_accuracy": None, "val_accuracy": 0.65, "epochs": 0}
    probe = row(BEGUN | {"recipe": "transfer"}, metrics_json=metrics)
    assert probe[3:] == ["0/15", "validation accuracy 65.00%", "finished"]


@pytest.mark.parametrize(
    ("metrics", "result"),
    [
        ({"stages": [{"ratio": 1.0}, {"ratio": 46.51}]}, "46.5 times smaller"),
        ({"rows": [{"bits": 8}, {"bits": 4}]}, "2 rows"),
        ({"targets": {"litert": {}}, "keras": {}}, "1 file"),
    ],
)
def test_tables_are_told_by_their_size(row, metrics, result):
    begun = {"recipe": "export", "source": "runs/train/x"}
    assert row(begun, metrics_json=metrics) == [
        "export",
        "runs/train/x",
        "–",
        "–",
        result,
        "finished",
    ]


def test_an_examination_is_finished_with_its_steps(row):
    check = row(BEGUN | {"recipe": "check"}, check_json={"failed": ["memorize"], "steps": [{}] * 6})
    assert check[3:] == ["15", "1 of 6 steps failed", "finished"]


def test_what_is_no_run_is_told(row, tmp_path, capsys):
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        runs.main(runs.Config("nowhere"))
    assert runs.main(runs.Config(str(tmp_path))) == {}
    assert capsys.readouterr().out == f"no runs in {tmp_path}\n"
    assert row(metrics_json="{")[-1] == "damaged"
