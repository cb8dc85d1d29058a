"""A first guess of a mask from a box or a few clicks, to be corrected by hand: a graph cut, as GrabCut.

The picture is made small; colours of object and surroundings are counted, soft over similar ones; a minimum cut between
neighbours of different colour parts the two; both are repeated until nothing changes (Rother, Kolmogorov and Blake 2004).
H W pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from scipy.spatial.distance import cdist
from skimage.color import rgb2lab

from stremn.data.pictures import Pixels

Mask = NDArray[np.bool_]
Points = Sequence[tuple[float, float]]
SHORT = 160  # pixels of the shorter side on which is cut
STEP, ALIKE = 5.0, 5.0  # of CIE Lab: width of a bin, distance at which colours count as alike
SMOOTH = 8.0  # weight of a border between two equal neighbours
CENTRE = 0.5  # weight of the place in the box: its corners rarely are the object
NEAR = 0.3  # of the box's sides: how far around it the surroundings count
CLICK, WEIGHT = 0.02, 0.1  # radius of a click, of the shorter side; its share of what is known of the colours
REACH, PULL = (
    0.15,
    4.0,
)  # of the shorter side: how far a click speaks for alike colours around it; how strongly
ROUNDS = 4
PART = 0.1  # of the largest part's area: smaller parts are dropped
SURE, UNITS = 1000.0, 1000  # cost of what a click excludes; the cut counts in whole numbers


def first_guess(
    picture: Pixels,
    box: tuple[float, float, float, float] | None = None,
    inside: Points = (),
    outside: Points = (),
) -> Mask:
    """Where the object may be.

    Args:
        picture: uint8 (H, W, 3).
        box: left, top, right and bottom in pixels, all of the object in it; None: anywhere.
        inside, outside: pixels (x, y) of the object, and of what is not the object.

    Returns:
        (H, W); empty without a box and without a click inside.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, SHORT / min(height, width))
    size = max(2, round(height * scale)), max(2, round(width * scale))
    small = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC, reducing_gap=3)
    lab = rgb2lab(np.asarray(small))
    y, x = (np.mgrid[: size[0], : size[1]] + 0.5) / scale
    may, place, near = _of_box(x, y, box)
    radius = CLICK * min(height, width)
    sure, never = _discs(x, y, inside, radius), _discs(x, y, outside, radius)
    reach = REACH * min(height, width)
    place = place + _pull(lab, x, y, outside, reach) - _pull(lab, x, y, inside, reach)
    start = may if box is not None else _discs(x, y, inside, 3 * radius)
    found = _cut(lab, (may | sure) & ~never, start & ~never, sure, place, near + never)
    whole = Image.fromarray(found.view(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    return _whole_parts(np.asarray(whole) > 127, inside, outside)


def _of_box(
    x: NDArray[np.float64], y: NDArray[np.float64], box: tuple[float, float, float, float] | None
) -> tuple[Mask, NDArray[np.float64], NDArray[np.float64]]:
    """Where the object may be, what each place costs it, and how much each counts for its surroundings, all (h, w)."""
    if box is None:
        return np.ones(x.shape, bool), np.zeros(x.shape), np.ones(x.shape)
    left, top, right, bottom = box
    wide, high = max(1.0, right - left), max(1.0, bottom - top)
    place = ((x - (left + right) / 2) / (wide / 2)) ** 2 + ((y - (top + bottom) / 2) / (high / 2)) ** 2
    beyond = np.maximum(np.maximum(left - x, x - right) / wide, np.maximum(top - y, y - bottom) / high).clip(
        0
    )
    return beyond == 0, CENTRE * (place - 0.8), np.exp(-beyond / NEAR)


def _discs(x: NDArray[np.float64], y: NDArray[np.float64], points: Points, radius: float) -> Mask:
    found = np.zeros(x.shape, bool)
    for column, row in points:
        distance = (x - column - 0.5) ** 2 + (y - row - 0.5) ** 2
        found |= distance <= max(radius**2, float(distance.min()))
    return found


def _pull(
    lab: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], points: Points, reach: float
) -> NDArray[np.float64]:
    """What clicks say of the places (h, w) around them that look like them."""
    found = np.zeros(x.shape)
    for column, row in points:
        distance = (x - column - 0.5) ** 2 + (y - row - 0.5) ** 2
        colour = ((lab - lab.reshape(-1, 3)[distance.argmin()]) ** 2).sum(-1)
        found += PULL * np.exp(-distance / (2 * reach**2) - colour / (2 * (2 * ALIKE) ** 2))
    return found


def _cut(
    lab: NDArray[np.float64],
    may: Mask,
    start: Mask,
    sure: Mask,
    place: NDArray[np.float64],
    near: NDArray[np.float64],
) -> Mask:
    """Object (h, w) within ``may``, from a first idea of it."""
    found = start | sure
    if not found.any():
        return found
    bins, which = np.unique((lab.reshape(-1, 3) / STEP).round(), axis=0, return_inverse=True)
    which = which.reshape(-1)
    alike = cdist(
        bins, bins, "sqeuclidean"
    )  # in place: there are thousands of bins where the picture is noise
    alike *= -(STEP**2) / (2 * ALIKE**2)
    np.exp(alike, out=alike)
    links, edge = _links(lab, may)
    for _ in range(ROUNDS):
        object_weight = found + WEIGHT * found.sum() * sure / max(1, sure.sum())
        ours = _density(alike, which, object_weight)
        others = _density(alike, which, ~found * near)
        cost = (np.log(others) - np.log(ours)).reshape(found.shape) + place
        cost = np.where(sure, -SURE, cost)[may]
        new = np.zeros_like(found)
        new[may] = _minimum_cut(np.maximum(cost, 0) + edge, np.maximum(-cost, 0), *links)
        if not new.any() or np.array_equal(new, found):
            break
        found = new
    return found


def _density(
    alike: NDArray[np.float64], which: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How usual each pixel's colour is, of pixels that count by ``weight``; never 0."""
    counts = alike @ np.bincount(which, weight.reshape(-1), len(alike))
    return (counts / max(counts.sum(), 1e-9) + 1e-4 / len(alike))[which]


def _links(lab: NDArray[np.float64], may: Mask) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
    """Neighbours within ``may``, in its order, with the cost of a border between them; that to what is outside."""
    number = np.full(may.shape, -1)
    number[may] = np.arange(may.sum())
    height, width = may.shape
    one, other, far, long = [], [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width - max(0, -right)]
        one.append(number[here].ravel())
        other.append(number[there].ravel())
        far.append(((lab[here] - lab[there]) ** 2).sum(-1).ravel())
        long.append(np.full(one[-1].size, np.hypot(down, right)))
    first, second, distance = np.concatenate(one), np.concatenate(other), np.concatenate(far)
    cost = SMOOTH * np.exp(-distance / max(1e-9, 2 * distance.mean())) / np.concatenate(long)
    both, half = (first >= 0) & (second >= 0), (first >= 0) != (second >= 0)
    edge = np.bincount(np.maximum(first, second)[half], cost[half], int(may.sum()))
    return (first[both], second[both], cost[both]), edge


def _minimum_cut(
    as_object: NDArray[np.float64],
    as_ground: NDArray[np.float64],
    first: NDArray[Any],
    second: NDArray[Any],
    border: NDArray[Any],
) -> Mask:
    """The cheapest choice (n,) of what is the object, given what each costs as object, as ground, and each border."""
    count = len(as_object)
    source, sink, all_ = count, count + 1, np.arange(count)
    rows = np.concatenate([np.full(count, source), all_, first, second])
    columns = np.concatenate([all_, np.full(count, sink), second, first])
    costs = np.concatenate([as_ground, as_object, border, border])
    graph = csr_matrix(
        ((costs * UNITS).astype(np.int32), (rows, columns)), shape=(count + 2, count + 2), dtype=np.int32
    )
    left = graph - maximum_flow(graph, source, sink).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    return reached[:count]


def _whole_parts(mask: Mask, inside: Points, outside: Points) -> Mask:
    """Without holes, but those that were clicked, and without small parts; parts that were clicked stay."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    filled = mask | ((holes > 0) & ~np.isin(holes, [*_under(holes, outside)]))
    parts, count = ndimage.label(filled)
    if count < 2:
        return np.asarray(filled, bool)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return np.isin(parts, [*np.flatnonzero(areas >= PART * areas.max()), *_under(parts, inside)]) & filled


def _under(labels: NDArray[np.integer], points: Points) -> set[int]:
    """The labels (H, W) that points lie on."""
    height, width = labels.shape
    return {int(labels[min(height - 1, int(y)), min(width - 1, int(x))]) for x, y in points}
