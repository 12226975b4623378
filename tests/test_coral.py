"""Times of whole networks on an Edge TPU, measured by Coral."""

from __future__ import annotations

import pytest

from hwsim.validate import run_check


@pytest.mark.slow
def test_networks_that_no_parameter_saw_are_within_20_percent() -> None:
    """MobileNet v1, VGG-16 and VGG-19, by USB and on the board; ResNet-50 was measured larger."""
    report = run_check("coral")
    far = {pair.row for pair in report.worst if pair.error > 0.2}
    assert far <= {"resnet50"}
    assert report.groups["use"]["calibrated"]["time_ms"].n == 2
