"""The picture: the curves of every strategy on a logarithmic axis."""

import pytest
from PIL import Image

from labelqueue.simulation.picture import plot, ticks
from labelqueue.simulation.summary import Point


def curve(strategy, seed, *scores):
    counts = (20, 40, 80)
    return [Point(strategy, seed, labels, (score, score)) for labels, score in zip(counts, scores, strict=True)]


@pytest.mark.parametrize("names", [["random"], ["auto", "random"], [f"strategy-{n}" for n in range(11)] + ["random"]])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_picture(tmp_path, names, seeds):
    drawn = [
        point for name in names for seed in range(seeds) for point in curve(name, seed, 0.2 + 0.1 * seed, 0.4, 0.5)
    ]
    plot(drawn, tmp_path / "curves.png", reference="random", score="accuracy", title="40 images")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG" and image.size == (1200, 750)
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 20


def test_doublings_are_equally_wide(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: drawn.append(figure))
    plot(curve("random", 0, 0.2, 0.4, 0.5), tmp_path / "x.png", reference="random", score="accuracy", title="")
    (axes,) = drawn[0].axes
    places = axes.transData.transform([(count, 50) for count in (20, 40, 80)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "40", "80"]
    assert axes.get_ylabel() == "accuracy on the test set (%)"


def test_the_label_counts_that_are_written_have_room():
    assert ticks([20]) == [20]
    many = ticks(list(range(20, 2000)))
    assert many[0] == 20 and many[-1] == 1999 and 8 <= len(many) <= 11
