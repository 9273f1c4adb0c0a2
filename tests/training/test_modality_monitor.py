"""Dynamic training monitoring: gates, preferences and rates move as defined when one modality lags."""

import math

import pytest
import torch

from medbench.training.modality_monitor import ModalityMonitor


def terms(*gaps):
    """All three losses of each modality, in proportions that the monitor should even out."""
    return torch.tensor(gaps, dtype=torch.float32) * torch.tensor([[0.02], [0.6], [0.1]])


def lagging(steps=4, epochs=1, gaps=(1.0, 1.0, 3.0, 1.0)):
    monitor = ModalityMonitor([1.0] * len(gaps))
    reports = []
    for _ in range(epochs):
        for _ in range(steps):
            monitor.observe(terms(*gaps), torch.ones(len(gaps)))
        reports.append(monitor.end_epoch())
    return monitor, reports


def test_each_loss_counts_the_same_whatever_its_scale():
    monitor = ModalityMonitor([1.0, 1.0])
    monitor.observe(torch.tensor([[1.0, 3.0], [100.0, 100.0], [0.01, 0.01]]), torch.tensor([1, 1]))
    assert monitor.gap.tolist() == pytest.approx([0.5 + 1 + 1, 1.5 + 1 + 1])


def test_gates_open_for_what_lags_and_for_one_alone():
    monitor = ModalityMonitor([1.0] * 4)
    assert monitor.observe(terms(1.0, 1.0, 3.0, 1.0), torch.ones(4)).tolist() == [0, 0, 1, 0]
    assert monitor.observe(terms(5.0, 1.0, 3.0, 1.0), torch.tensor([0, 1, 1, 1])).tolist() == [0, 0, 1, 0]
    assert monitor.observe(terms(0.1, 9.0, 9.0, 9.0), torch.tensor([1, 0, 0, 0])).tolist() == [1, 0, 0, 0]


def test_equal_gaps_change_nothing():
    monitor, (report,) = lagging(gaps=(2.0, 2.0, 2.0, 2.0))
    assert monitor.preference.tolist() == [1.0] * 4
    assert monitor.rate_scale.tolist() == [1.0] * 4
    assert report["open_gates"] == [0.0] * 4


def test_preference_after_one_epoch_is_the_defined_one():
    monitor, (report,) = lagging()
    gaps = torch.tensor([1.0, 1.0, 3.0, 1.0]) * 3 / 1.5
    assert report["gap"] == pytest.approx(gaps.tolist(), rel=1e-5)
    moved = 1 - 0.015 * (gaps.mean() - gaps) / gaps.mean()
    expected = 2 * moved / moved.norm()
    assert monitor.preference.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert report["open_gates"] == [0.0, 0.0, 1.0, 0.0]
    assert report["rate_scale"] == pytest.approx((gaps / gaps.mean()).tolist(), rel=1e-5)


def test_the_step_grows_by_half_at_the_epochs_0_100_and_200():
    monitor = ModalityMonitor([1.0, 1.0])
    sizes = {}
    for epoch in range(202):
        monitor.preference.fill_(1.0)
        monitor.observe(terms(1.0, 3.0), torch.ones(2))
        monitor.end_epoch()
        sizes[epoch] = float(monitor.preference[1] / monitor.preference[0])
    for epoch, step in ((0, 0.015), (99, 0.015), (100, 0.0225), (199, 0.0225), (200, 0.03375)):
        assert sizes[epoch] == pytest.approx((1 + step / 2) / (1 - step / 2), rel=1e-4), epoch


def test_preference_keeps_its_norm_and_its_bounds_however_long_one_lags():
    monitor, reports = lagging(steps=1, epochs=600, gaps=(0.1, 0.1, 9.0))
    norm = float(monitor.preference.norm())
    assert norm == pytest.approx(math.sqrt(3), rel=1e-5)
    assert float(monitor.preference.max()) <= math.sqrt(3)
    lowest = 0.1 * math.sqrt(3) / math.sqrt(4.0**2 + 2 * 0.1**2)
    assert float(monitor.preference.min()) >= lowest
    assert monitor.preference[2] > reports[0]["preference"][2]
    assert monitor.rate_scale.tolist() == [0.5, 0.5, 2.0]


def test_what_is_missing_keeps_its_gap_and_its_rate():
    monitor = ModalityMonitor([1.0, 1.0, 1.0])
    monitor.observe(terms(1.0, 2.0, 7.0), torch.tensor([1, 1, 0]))
    assert monitor.gap[2] == 0
    assert monitor.rate_scale[2] == 1.0
    monitor.observe(terms(1.0, 1.0, 4.0), torch.ones(3))
    before = monitor.gap.clone()
    monitor.observe(terms(1.0, 1.0, 4.0), torch.tensor([1, 1, 0]))
    assert monitor.gap[2] == before[2]
    assert monitor.gap[0] != before[0]


def test_gaps_are_smoothed_with_memory():
    monitor = ModalityMonitor([1.0, 1.0])
    monitor.observe(terms(1.0, 1.0), torch.ones(2))
    monitor.observe(terms(1.0, 2.0), torch.ones(2))
    usual = 0.9 * 1.0 + 0.1 * 1.5
    assert monitor.gap.tolist() == pytest.approx([0.9 * 3 + 0.1 * 3 / usual, 0.9 * 3 + 0.1 * 6 / usual])


def test_the_state_survives_a_checkpoint():
    monitor, _ = lagging(epochs=3)
    monitor.observe(terms(2.0, 1.0, 1.0, 1.0), torch.ones(4))
    other = ModalityMonitor([1.0] * 4)
    other.load_state_dict(monitor.state_dict())
    for each in (monitor, other):
        each.observe(terms(1.0, 1.0, 2.0, 1.0), torch.ones(4))
    assert monitor.end_epoch() == other.end_epoch()


def test_a_loss_below_zero_by_rounding_is_no_gap():
    """One less a cosine of 1 can be −1e-7; divided by its running mean it was a gap of −10⁵."""
    monitor = ModalityMonitor([1.0, 1.0])
    losses = torch.stack([torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), torch.tensor([-1e-7, -1e-7])])
    monitor.observe(losses, torch.ones(2))
    assert monitor.gap.tolist() == pytest.approx([2 / 1.5, 4 / 1.5])
