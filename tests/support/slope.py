"""The trend of a figure over time."""

from collections.abc import Sequence


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the line through (seconds, value) with the least squares: value per second."""
    count = len(samples)
    mean_at = sum(at for at, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    return sum((at - mean_at) * (value - mean) for at, value in samples) / spread
