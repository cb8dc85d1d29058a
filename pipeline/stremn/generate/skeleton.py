"""An articulated figure: joint positions over time for KTH's six actions.

Lengths are in units of the figure's height, x to the right, y down, the ground at y = 0 and the top of the
head at y = −1. T frames. Angles are measured from hanging straight down, positive towards the walking
direction (+x); a figure that walks to the left is mirrored when drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Half thickness of each part; "near" and "far" are the two sides of the body.
PARTS = ("far_arm", "far_forearm", "far_thigh", "far_shin", "torso", "neck", "head",
         "near_thigh", "near_shin", "near_arm", "near_forearm")  # fmt: skip
GAITS = ("walking", "jogging", "running")


@dataclass(frozen=True)
class Person:
    """Proportions and habits of one person; everything is drawn once, from the person's seed."""

    height: float  # of the image side, standing at the usual distance
    leg: float  # leg length, of the height
    arm: float  # arm length, of the height
    girth: float  # thickness of torso and limbs, 1 is average
    tempo: float  # speed of every movement, 1 is average
    swing: float  # amplitude of every movement, 1 is average
    skin: float  # brightness in [0, 1], likewise the clothes
    shirt: tuple[float, float]
    trousers: tuple[float, float]


def draw_person(rng: np.random.Generator) -> Person:
    """A person, with a second set of clothes for scene d3."""
    return Person(
        height=rng.uniform(0.62, 0.76),
        leg=rng.uniform(0.45, 0.5),
        arm=rng.uniform(0.36, 0.41),
        girth=rng.uniform(0.85, 1.25),
        tempo=rng.uniform(0.85, 1.15),
        swing=rng.uniform(0.85, 1.15),
        skin=rng.uniform(0.28, 0.46),
        shirt=(_cloth(rng), _cloth(rng)),
        trousers=(rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.42)),
    )


def _cloth(rng: np.random.Generator) -> float:
    """A brightness that stands out from the lawn: dark more often than white."""
    return rng.uniform(0.05, 0.4) if rng.random() < 0.65 else rng.uniform(0.9, 1.0)


@dataclass(frozen=True)
class Pose:
    """Angles (T,) of the limbs of each side, forward lean, and height of the hip above standing."""

    thigh: dict[str, Floats]
    shin: dict[str, Floats]
    arm: dict[str, Floats]
    forearm: dict[str, Floats]
    reach: dict[str, Floats]  # foreshortening of the forearm, 1 is full length
    lean: float
    bounce: Floats
    frontal: bool


def pose(person: Person, action: str, phase: Floats) -> Pose:
    """The pose at each phase (T,), radians; one cycle of the action is 2π."""
    return _gait(person, action, phase) if action in GAITS else _gesture(person, action, phase)


def _gait(person: Person, action: str, phase: Floats) -> Pose:
    stride, knee, arm, elbow, lean, bounce = {
        "walking": (0.45, 0.6, 0.4, 0.25, 0.03, 0.008),
        "jogging": (0.6, 1.2, 0.55, 1.3, 0.1, 0.02),
        "running": (0.85, 1.7, 0.8, 1.5, 0.2, 0.03),
    }[action]
    thigh, shin, upper, fore = {}, {}, {}, {}
    for side, shift in (("near", 0.0), ("far", np.pi)):
        leg = phase + shift
        thigh[side] = person.swing * stride * np.sin(leg) + 0.1 * stride
        bend = knee * (0.12 + 0.88 * np.clip(np.cos(leg + 0.3), 0, None) ** 1.5)
        shin[side] = thigh[side] - person.swing * bend
        upper[side] = -person.swing * arm * np.sin(leg) - 0.05
        fore[side] = upper[side] + elbow + 0.25 * arm * (1 - np.sin(leg))
    one = np.ones_like(phase)
    lift = bounce * np.cos(2 * phase)
    return Pose(thigh, shin, upper, fore, {"near": one, "far": one}, lean, lift, frontal=False)


def _gesture(person: Person, action: str, phase: Floats) -> Pose:
    """Boxing is seen from the side, clapping and waving from the front."""
    zero, one = np.zeros_like(phase), np.ones_like(phase)
    upper, fore, reach = {}, {}, {"near": one, "far": one}
    for side, sign, shift in (("near", 1.0, 0.0), ("far", -1.0, np.pi)):
        beat = 0.5 - 0.5 * np.cos(phase + shift)  # 0 at rest, 1 at full stretch
        if action == "boxing":
            punch = person.swing * np.clip(beat, 0, 1) ** 2
            upper[side], fore[side] = 0.35 + 1.15 * punch, 2.5 - 0.95 * punch
        elif action == "handclapping":
            open_ = person.swing * (0.5 - 0.5 * np.cos(phase))
            upper[side] = sign * (0.35 + 0.55 * open_)
            fore[side] = sign * (-0.95 + 2.35 * open_)
            reach[side] = 0.8 + 0.2 * open_
        else:
            up = person.swing * (0.5 - 0.5 * np.cos(phase))
            upper[side] = sign * (0.25 + 2.2 * up)
            fore[side] = sign * (0.3 + 2.5 * up)
    stance = 0.22 if action == "boxing" else 0.1
    legs = {"near": zero + stance, "far": zero - stance}
    shins = {"near": legs["near"] - (0.25 if action == "boxing" else 0.0), "far": legs["far"]}
    return Pose(legs, shins, upper, fore, reach, 0.05 if action == "boxing" else 0.0, 0.004 * np.sin(phase),
                frontal=action != "boxing")  # fmt: skip


def segments(person: Person, body: Pose) -> dict[str, tuple[Floats, Floats, float]]:
    """Each part as a capsule: ends (T, 2) as (x, y) and half thickness, in heights, hip over x = 0.

    The lower foot stands on the ground.
    """
    half_leg, half_arm, g = person.leg / 2, person.arm / 2, person.girth
    zero = np.zeros_like(body.bounce)
    hip = np.stack([zero, zero], axis=1)
    shoulder = hip + _along(np.pi + zero - body.lean, 0.80 - person.leg)
    ends: dict[str, tuple[Floats, Floats, float]] = {}
    for side, sign in (("near", 1.0), ("far", -1.0)):
        apart = np.array([sign * g, 0.0], np.float32) * (1.0 if body.frontal else 0.0)
        knee = hip + 0.04 * apart + _along(body.thigh[side], half_leg)
        ends[f"{side}_thigh"] = (hip + 0.04 * apart, knee, 0.042 * g)
        ends[f"{side}_shin"] = (knee, knee + _along(body.shin[side], half_leg), 0.032 * g)
        joint = shoulder + 0.095 * apart
        elbow = joint + _along(body.arm[side], half_arm)
        hand = elbow + _along(body.forearm[side], half_arm * body.reach[side])
        ends[f"{side}_arm"], ends[f"{side}_forearm"] = (joint, elbow, 0.03 * g), (elbow, hand, 0.024 * g)
    top = shoulder + _along(np.pi + zero - 1.5 * body.lean, 0.115)
    down = np.array([0.0, 1.0], np.float32)
    trunk = (0.105 if body.frontal else 0.075) * g
    ends["torso"] = (hip - 0.03 * down, shoulder + 0.035 * down, trunk)
    ends["neck"] = (shoulder, top, 0.03)
    ends["head"] = (top + 0.012 * down, top - 0.018 * down, 0.062)
    feet = np.maximum(ends["near_shin"][1][:, 1], ends["far_shin"][1][:, 1])
    floor = np.stack([zero, feet + 0.03 + body.bounce], axis=1)
    return {part: (a - floor, b - floor, width) for part, (a, b, width) in ends.items()}


def _along(angle: Floats, length: float | Floats) -> Floats:
    """The vector (T, 2) of a limb at an angle from hanging down."""
    return (np.stack([np.sin(angle), np.cos(angle)], axis=1) * np.reshape(length, (-1, 1))).astype(np.float32)
