"""The recipes about networks: their tables and the picture."""

import json

import pytest
from cvcourse.recipes import landscape
from cvcourse.recipes import models as models_recipe
from cvcourse.recipes.benchmarks import features as bench_features
from cvcourse.recipes.benchmarks import networks as bench_networks

from cvcourse import models
from cvcourse.errors import UsageError
from cvcourse.models import pretrained


def test_one_network_layer_by_layer(capsys):
    counts = models_recipe.main(models_recipe.Config(model="lenet5"))
    assert counts["in all"] == dict(parameters=61_706, macs=416_520, activations=9_118)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(models.cost("lenet5")) + 2
    assert lines[2].split() == ["c1", "Conv2D", "28x28x6", "156", "117,600", "4,704", "5x5"]


def test_the_weights_there_are_of_a_network(capsys):
    found = models_recipe.main(models_recipe.Config(model="resnet18", pretrained=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found) + 1 > 5
    row = next(line for line in lines if line.startswith("torchvision.resnet18:IMAGENET1K_V1"))
    assert "256 to 224, bilinear" in row
    assert "69.758" in row
    assert row.endswith("https://download.pytorch.org/models/resnet18-f37072fd.pth")
    assert found["torchvision.resnet18:IMAGENET1K_V1"]["hash"] == "f37072fd"
    of_all = models_recipe.main(models_recipe.Config(pretrained=True))
    assert found.items() <= of_all.items()
    with pytest.raises(UsageError, match="no published weights of resnet20 are known"):
        models_recipe.main(models_recipe.Config(model="resnet20", pretrained=True))


@pytest.mark.slow
def test_the_race_of_features(tmp_path):
    tiny = dict(networks=("squeezenet1_1",), photos=8, batch_size=4, rounds=2)
    output = tmp_path / "bench.json"
    report = bench_features.main(bench_features.Config(**tiny, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    check = report["checks"]["squeezenet1_1: features / predict"]
    assert check["met"] == (check["median"] >= 0.95)
    assert report["images_per_second"]["squeezenet1_1"].keys() == {"predict", "features"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model="vgg61"), "did you mean 'vgg1"),
        (dict(model="vgg16", input_shape=(8, 8, 3)), "32x32 pixels or more"),
        (dict(input_shape=(8, 8, 3)), "--input_shape needs a network"),
    ],
)
def test_wrong_networks(settings, message):
    with pytest.raises(UsageError) as error:
        models_recipe.main(models_recipe.Config(**settings))
    assert message in str(error.value)


def test_the_landscape_leaves_a_picture_a_report_and_its_numbers(tmp_path, monkeypatch):
    kept = ("squeezenet1_1", "resnet20")  # the latter has no accuracy on ImageNet
    monkeypatch.setattr(models, "REGISTRY", {name: models.REGISTRY[name] for name in kept})
    picture, run = tmp_path / "new" / "landscape.pdf", tmp_path / "run"
    config = landscape.Config(output=str(picture), workdir=str(run))
    points = landscape.main(config)
    # torchvision's pages: 58.178 % top-1, 1,235,496 parameters, 0.35 GMACs
    assert points == {"squeezenet1_1": [pytest.approx(0.35e9, rel=0.01), 1_235_496, 58.178]}
    assert picture.read_bytes()[:4] == b"%PDF"
    assert json.loads((run / "metrics.json").read_text())["networks"] == points
    page = (run / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 1
    assert "<td>1,235,496</td><td>58.178</td></tr>" in page
    assert landscape.main(config) == points


def test_a_picture_needs_a_known_form():
    with pytest.raises(UsageError, match=r"\.svg, \.png or \.pdf"):
        landscape.main(landscape.Config(output="landscape.txt"))


@pytest.mark.slow
def test_the_race_of_networks(tmp_path, monkeypatch):
    # Of keras.applications' nets these alone; Keras has a module called mobilenet besides.
    kept = ("keras.mobilenet", "keras.mobilenet_v2", "torchvision.mobilenet_v2")
    monkeypatch.setattr(pretrained, "SOURCES", {name: pretrained.SOURCES[name] for name in kept})
    tiny = dict(networks=("mobilenet_v2",), size=32, batch_size=2, steps=2, rounds=1)
    output = tmp_path / "bench.json"
    report = bench_networks.main(bench_networks.Config(**tiny, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    steps = report["step_seconds"]["training mobilenet_v2"]
    ratio = steps["keras"]["median"] / steps["ours as keras"]["median"]
    check = report["checks"]["training mobilenet_v2 / keras"]
    assert check["median"] == pytest.approx(ratio)
    assert check["met"] == (ratio >= 1.15)
    built = [name for name in report["checks"] if name.startswith("building")]
    assert built == ["building keras.mobilenet", "building keras.mobilenet_v2"]
