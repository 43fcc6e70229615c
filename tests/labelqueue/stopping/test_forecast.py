"""The forecast: a band that narrows with labels and widens with distance, the labels a wish takes, words for both."""

import pytest

from labelqueue.stopping.curve import Measurement
from labelqueue.stopping.forecast import FARTHEST, SLOPE, Forecast, next_target, nice


def measurement(labels=200, accuracy=0.8, balanced=0.7, *, tasks=5000, unseen=0.0):
    spread = (accuracy * (1 - accuracy) / labels) ** 0.5
    return Measurement(labels, tasks, accuracy, balanced, spread, 1.3 * spread, accuracy - 0.1, balanced, unseen)


def width(band):
    return band.high - band.low


def test_a_band_holds_its_middle_widens_with_distance_and_narrows_with_labels():
    forecast = Forecast([measurement()])
    bands = [forecast.band(labels) for labels in (200, 300, 400, 800)]
    assert all(0 < band.low < band.middle < band.high < 1 for band in bands)
    assert [band.middle for band in bands] == sorted(band.middle for band in bands)
    assert bands[0].middle == pytest.approx(0.8)
    relative = [width(band) / (1 - band.middle) for band in bands]
    assert relative == sorted(relative)
    assert width(Forecast([measurement(2000)]).band(4000)) < width(Forecast([measurement(100)]).band(200))


def test_without_a_history_errors_fall_as_in_other_campaigns():
    band = Forecast([measurement()]).band(400)
    assert 1 - band.middle == pytest.approx(0.2 * 2**-SLOPE)


def test_a_curve_that_stands_still_is_forecast_to_stand_still():
    steep = [measurement(n, 1 - 0.5 * (n / 250) ** -0.5) for n in (250, 500, 1000, 2000, 4000)]
    flat = [measurement(n, 0.75) for n in (250, 500, 1000, 2000, 4000)]
    assert 1 - Forecast(steep).band(8000).middle == pytest.approx(0.125 * 2**-0.5, rel=0.1)
    assert Forecast(flat).band(8000).middle < 0.77
    assert Forecast(flat).need(0.9).middle is None
    # Marks near each other rest on the same labels: they do not count as many.
    crowd = [measurement(n, 0.75) for n in range(3000, 4000, 10)]
    assert Forecast([*crowd, measurement(4000, 0.75)]).band(8000) == Forecast([measurement(4000, 0.75)]).band(8000)


def test_a_small_test_set_widens_the_band():
    forecast = Forecast([measurement()])
    assert width(forecast.band(400, noise=0.05)) > width(forecast.band(400))
    assert forecast.band(400, noise=0.05).middle == forecast.band(400).middle


def test_classes_without_a_label_lower_the_low_end_alone():
    whole, part = (Forecast([measurement(unseen=unseen)], "balanced_accuracy").band(300) for unseen in (0.0, 0.25))
    assert part.low == pytest.approx(0.75 * whole.low) and (part.middle, part.high) == (whole.middle, whole.high)
    assert Forecast([measurement(unseen=0.25)]).band(300) == Forecast([measurement()]).band(300)


@pytest.mark.parametrize("accuracy", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_ends_are_shares_whatever_the_mark(accuracy):
    for band in Forecast([measurement(40, accuracy, accuracy)]).horizons():
        assert 0 <= band.low <= band.middle <= band.high <= 1


def test_how_many_labels_a_share_takes():
    forecast = Forecast([measurement()])
    need = forecast.need(0.85)
    assert need.low < need.middle and (need.high is None or need.high > need.middle)
    assert forecast.band(need.middle * 1.05).middle >= 0.85 > forecast.band(need.middle * 0.95).middle
    assert forecast.need(0.5).middle == 200, "reached already"
    assert forecast.need(0.999).middle is None
    assert need.middle <= FARTHEST * 200


def test_horizons_end_where_every_image_is_labeled():
    assert [band.labels for band in Forecast([measurement()]).horizons()] == [200, 300, 400, 800]
    assert [band.labels for band in Forecast([measurement(tasks=350)]).horizons()] == [200, 300, 350]
    assert [band.labels for band in Forecast([measurement(tasks=200)]).horizons()] == [200]


@pytest.mark.parametrize(
    ("measurements", "target", "words"),
    [
        ([measurement()], 0.85, "85% needs about 750 (200 to more than 2,000)"),
        ([measurement(tasks=900)], 0.85, "85% needs about 750 (200 to more than 900)"),
        ([measurement(4000, tasks=90_000)], 0.81, "81% needs about 5,100 (4,000 to more than 40,000)"),
        ([measurement()], 0.8, "80% is reached, as far as this can tell"),
        ([measurement()], 0.9, "90% needs 640 at least"),
        ([measurement()], 0.99, "99% is not reached within 10 times the labels there are"),
        ([measurement(tasks=500)], 0.85, "85% needs more than the 500 images there are"),
        ([measurement()], 0.855, "85.5% needs about 870 (200 to more than 2,000)"),
    ],
)
def test_it_is_said_for_people(measurements, target, words):
    line = Forecast(measurements).line(target, "right on all images")
    assert line.startswith("right on all images: now 7") and "; at " in line and line.endswith(words)


def test_the_target_when_nobody_names_one():
    assert [next_target(share) for share in (0.2, 0.89, 0.9, 0.96, 0.995)] == [0.9, 0.9, 0.95, 0.98, 0.99]


def test_numbers_of_labels_are_round():
    assert [nice(n) for n in (7.2, 87.4, 437, 1234, 99_500)] == [7, 87, 440, 1200, 100_000]
