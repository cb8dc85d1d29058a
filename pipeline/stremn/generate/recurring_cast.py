"""Who plays in a clip of recurring appearances: bodies, what they wear, where they go, and their look-alikes.

T frames. Positions are (y, x) in units of the image side.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stremn.data import photographs
from stremn.generate import motion, shapes, surfaces
from stremn.generate.render import Layer, Sprite
from stremn.generate.visits import RecurringSettings, Visit

TURN = 6  # frames in which a new appearance turns to the front
SLIDE = 4  # frames to leave the image, and to come in again
NOWHERE = -9.0  # a place that no frame shows
CORNERS = np.array([[y, x] for y in (0.25, 0.75) for x in (0.25, 0.75)])


@dataclass(frozen=True)
class Script:
    """What happens in a clip.

    Attributes:
        settings: of the split.
        rng: the clip's random numbers.
        group: of photographs.
        natural: surfaces and scenes in natural colours.
        visits: stays in one appearance.
        slides: of each visit: the objects come in through the edge, after they left by it.
        traps: kind of trap of each frame (T,), "" for none.
    """

    settings: RecurringSettings
    rng: np.random.Generator
    group: str
    natural: bool
    visits: list[Visit]
    slides: list[bool]
    traps: NDArray[np.str_]

    def turns(self, place: int) -> bool:
        """Whether a visit begins with a turn to a new appearance, from the one of the visit before."""
        return place > 0 and not self.visits[place].back


def cast(script: Script, count: int) -> tuple[list[Layer], list[Sprite]]:
    """All layers from far to near, and for each of ``count`` objects one sprite of its whole path."""
    rng = script.rng
    number = 1 + max(visit.appearance for visit in script.visits)
    worn: list[motion.Floats] = []  # mean colours of the objects' appearances
    radii = [float(rng.uniform(0.13, 0.17)) for _ in range(count)]
    looks = [[_strip(script, radius, worn) for _ in range(number)] for radius in radii]
    bodies = [
        _body(script, radii[label - 1], _path(script, radii[label - 1], label, count), label)
        for label in range(1, count + 1)
    ]
    strangers: list[Layer] = []
    for place, visit in enumerate(script.visits):
        for one in range(script.settings.look_alikes if visit.back else 0):
            path = _beside(script, [body.centre for body in bodies], place, one)
            stranger = replace(_body(script, radii[0], path, 0), contour=bodies[0].contour)
            strangers.append(
                _during(script, stranger, place, shapes.around([_strip(script, radii[0], worn, False)]))
            )
    dressed: list[Layer] = [
        _during(script, body, place, _around(script, looks[body.label - 1], place))
        for body in bodies
        for place in range(len(script.visits))
    ]
    return [*strangers, *dressed, *(_cover(script, body) for body in bodies)], bodies


def _strip(script: Script, radius: float, worn: list[motion.Floats], keep: bool = True) -> motion.Floats:
    """A texture for half a body (h, w, 3): of five the one whose mean colour is farthest from those worn."""
    rng, names = script.rng, photographs.names(script.group)
    height = max(16, round(3 * radius * script.settings.size))
    tries = []
    for _ in range(5):
        name = names[rng.integers(len(names))]
        skin = surfaces.Skin(name, 1, int(rng.integers(2**32)))
        look = skin if script.natural else shapes.Tint(name, (rng.random(),))
        strip = look.strip(rng, height, round(2.1 * height))
        tries.append(strip[:, : strip.shape[1] // 2])
    means = [strip.mean(axis=(0, 1)) for strip in tries]
    apart = [min((float(np.linalg.norm(mean - other)) for other in worn), default=0.0) for mean in means]
    best = int(np.argmax(apart))
    if keep:
        worn.append(means[best])
    return tries[best]


def _around(script: Script, looks: list[motion.Floats], place: int) -> motion.Floats:
    """The strip around a body during a visit: its appearance, with the one before behind it where it turns."""
    own = looks[script.visits[place].appearance]
    if script.turns(place):
        return shapes.around([looks[script.visits[place - 1].appearance], own])
    return shapes.around([own])


def _body(script: Script, radius: float, centre: motion.Floats, label: int) -> Sprite:
    """A body without clothes on its path."""
    rng, length = script.rng, script.settings.length
    return Sprite(
        contour=(surfaces if script.natural else shapes).contour(rng),
        ripples=shapes.ripples(rng),
        strip=np.zeros((1, 1, 3), np.float32),
        centre=centre,
        radius=(radius * (1 + motion.swing(rng, length, rng.uniform(0, 0.1), (20, 50)))).astype(np.float32),
        angle=motion.swing(rng, length, rng.uniform(0.1, 0.5), (20, 50)),
        longitude=motion.swing(rng, length, 0.25, (20, 50)),
        label=label,
    )


def _during(script: Script, body: Sprite, place: int, strip: motion.Floats) -> Sprite:
    """A body in the frames of one visit, in a strip; where a new appearance comes it turns half round."""
    visit, frames = script.visits[place], np.arange(script.settings.length)
    here = (frames >= visit.start) & (frames < visit.stop)
    front = np.pi * turned(frames - visit.start) * (script.turns(place) and body.label > 0)
    return replace(
        body,
        strip=strip,
        centre=np.where(here[:, None], body.centre, NOWHERE).astype(np.float32),
        longitude=(body.longitude + front).astype(np.float32),
    )


def turned(frames: NDArray[np.integer]) -> NDArray[np.floating]:
    """How far a turn that begins at frame 0 has come at these frames: 0 to 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((frames + 1) / TURN, 0, 1))


def _stays(script: Script) -> list[tuple[int, int, bool, bool]]:
    """Spans without absence: first frame, one past the last, whether entered and whether left by the edge."""
    starts = [place for place, visit in enumerate(script.visits) if place == 0 or visit.back]
    ends = [*starts[1:], len(script.visits)]
    slides = [*script.slides, False]
    return [
        (script.visits[a].start, script.visits[b - 1].stop, slides[a], slides[b])
        for a, b in zip(starts, ends, strict=True)
    ]


def _path(script: Script, radius: float, label: int, count: int) -> motion.Floats:
    """Centre of an object (T, 2): it wanders, and after each absence begins elsewhere; NOWHERE in between."""
    rng, length = script.rng, script.settings.length
    path = np.full((length, 2), NOWHERE, np.float32)
    last = rng.uniform(0.25, 0.75, 2)
    for start, stop, enters, leaves in _stays(script):
        place = _far_from(rng, last)
        if count > 1:  # each object keeps to a half of the image, so that they seldom hide each other
            place[1] = 0.25 + 0.5 * (label - 1) + rng.uniform(-0.05, 0.05)
        part = _stay(rng, stop - start, place, radius, enters, leaves, 0.1 if count > 1 else 0.3)
        path[start:stop] = part[: length - start]
        last = part[-1 - SLIDE * leaves].astype(np.float64)
    for t in np.flatnonzero((script.traps == "edge") & (path[:, 0] > NOWHERE)):
        path[t] = motion.outside(path[t].astype(np.float64), 0.0)  # its centre on the nearest edge
    return path


def _stay(
    rng: np.random.Generator,
    frames: int,
    place: NDArray[np.float64],
    radius: float,
    enters: bool,
    leaves: bool,
    reach: float,
) -> motion.Floats:
    """A path (frames, 2) within ``reach`` of a place, in and out through the nearest edge where asked for."""
    first, final = float(SLIDE * enters), float(frames - 1 - SLIDE * leaves)
    times = [*np.arange(first, final - 2, 9), final]
    points = [place, *(np.clip(place + rng.uniform(-reach, reach, 2), 0.18, 0.82) for _ in times[1:])]
    if enters:
        times, points = [-1.0, *times], [motion.outside(points[0], radius), *points]
    if leaves:
        times, points = [*times, float(frames)], [*points, motion.outside(points[-1], radius)]
    return motion.through(times, points, frames)


def _beside(script: Script, centres: list[motion.Floats], place: int, one: int) -> motion.Floats:
    """The path of a look-alike during a visit: it comes with the objects, far from them, and leaves at its end."""
    rng, length, visit = script.rng, script.settings.length, script.visits[place]
    path = np.full((length, 2), NOWHERE, np.float32)
    settled = min(visit.start + SLIDE, visit.stop - 1, length - 1)
    gaps = [np.linalg.norm(CORNERS - np.clip(centre[settled], 0.15, 0.85), axis=1) for centre in centres]
    corner = CORNERS[np.argsort(-np.min(gaps, axis=0))[one]] + rng.uniform(-0.06, 0.06, 2)
    part = _stay(rng, visit.stop - visit.start, corner, 0.17, script.slides[place], True, 0.08)
    path[visit.start : visit.stop] = part[: length - visit.start]
    return path


def _far_from(rng: np.random.Generator, last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of some places the one farthest from the last."""
    tries = rng.uniform(0.22, 0.78, (16, 2))
    return tries[int(np.argmax(np.linalg.norm(tries - last, axis=1)))]


def _cover(script: Script, body: Sprite) -> Sprite:
    """A patch of some surface over a body in the frames where it is covered."""
    return replace(
        body,
        contour=np.ones_like(body.contour),
        ripples=body.ripples * 0,
        strip=surfaces.surface(script.rng, 24, 24),
        centre=np.where((script.traps == "cover")[:, None], body.centre, NOWHERE).astype(np.float32),
        radius=(1.6 * body.radius).astype(np.float32),
        label=0,
    )
