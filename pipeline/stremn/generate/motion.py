"""Smooth movements: paths through waypoints, oscillations, turning, light. Unit: the image side."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Floats = NDArray[np.floating]


def through(times: list[float], points: list[NDArray[np.float64]], length: int) -> Floats:
    """Smooth interpolation of points (n, 2) at increasing times, read at every frame: (length, 2)."""
    if len(times) == 1:
        return np.repeat(np.asarray(points, dtype=np.float32), length, axis=0)
    return PchipInterpolator(times, np.asarray(points))(np.arange(length)).astype(np.float32)


def wander(
    rng: np.random.Generator,
    length: int,
    start: NDArray[np.float64],
    radius: float,
    pace: tuple[float, float] = (12, 20),
    enter: int = 0,
    leave: bool = False,
) -> Floats:
    """A path (length, 2) as (y, x) through random waypoints inside the frame.

    Args:
        pace: frames from one waypoint to the next (range).
        enter: the object waits outside until this frame, then comes in.
        leave: it goes out of the frame once, somewhere in the middle, and comes back.
    """
    times, points = [0.0], [start]
    if enter:
        points[0] = outside(start, radius)
        times, points = [*times, float(enter), enter + rng.uniform(5, 8)], [*points, points[0], start]
    exit_at = rng.uniform(0.25, 0.5) * length if leave else np.inf
    while times[-1] < length:
        now = times[-1] + rng.uniform(*pace)
        if now > exit_at:
            now = times[-1] + rng.uniform(4, 7)
            away = outside(points[-1], radius)
            back = outside(rng.uniform(0.2, 0.8, 2), radius) if rng.random() < 0.3 else away
            gap = rng.uniform(2, 6)
            times += [now, now + gap]
            points += [away, away]
            if back is not away:
                times.append(times[-1] + 1)
                points.append(back)
            now, exit_at = times[-1] + rng.uniform(4, 7), np.inf
        times.append(now)
        points.append(_next_point(rng, points[-1]))
    return through(times, points, length)


def outside(point: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """The nearest place to a point from which a disc of this radius (with its ripples) is out of sight."""
    margin = 1.7 * radius
    edges = [
        (point[0], 0, -margin),
        (1 - point[0], 0, 1 + margin),
        (point[1], 1, -margin),
        (1 - point[1], 1, 1 + margin),
    ]
    _, axis, value = min(edges)
    moved = point.copy()
    moved[axis] = value
    return moved


def _next_point(rng: np.random.Generator, last: NDArray[np.float64]) -> NDArray[np.float64]:
    for _ in range(20):
        point = rng.uniform(0.18, 0.82, 2)
        if 0.15 < np.linalg.norm(point - last) < 0.5:
            break
    return point


def swing(rng: np.random.Generator, length: int, amount: float, period: tuple[float, float]) -> Floats:
    """A sine (length,) of this amplitude, random phase and a period (frames) from the range."""
    frames = np.arange(length)
    return (amount * np.sin(2 * np.pi * frames / rng.uniform(*period) + rng.uniform(0, 2 * np.pi))).astype(
        np.float32
    )


def turning(rng: np.random.Generator, length: int, period: tuple[float, float] = (24, 44)) -> Floats:
    """Longitude (length,) in radians of an object that turns round, resting where a face is in front.

    Every full turn brings the first appearance back. Half of the objects turn to and fro instead.
    """
    frames = np.arange(length)
    phase = 2 * np.pi * frames / rng.uniform(*period)
    if rng.random() < 0.5:
        angle = np.pi * (0.5 - 0.5 * np.cos(phase))
    else:
        angle = rng.choice([-1, 1]) * (phase - 0.35 * np.sin(2 * phase))
    return angle.astype(np.float32)


def light(rng: np.random.Generator, length: int, strength: float) -> Floats:
    """Gain (length, 3) per channel: starts at 1, goes down and comes back, with a colour cast."""
    dip = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / rng.uniform(22, 50))
    cast = 1 + rng.uniform(-0.3, 0.3, 3)
    return (1 - strength * np.clip(dip[:, None] * cast, 0, 1.2)).astype(np.float32)
