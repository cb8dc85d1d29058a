"""Which frames and which objects of a sequence are scored: one entry for each benchmark."""

from dataclasses import dataclass

import numpy as np

from stremn.errors import InputError

"""Label of undecided pixels in some ground truths; scored as background, as the official tool does."""


@dataclass(frozen=True)
class Protocol:
    """What a benchmark scores.

    Attributes:
        drop_last: the last frame is not scored (the first never is).
        late: an object may first appear after frame 0; it is scored from the frame after that. Without it, the
            objects are those up to the largest id of frame 0.
        binary: one object; every mask value above 127 is object 1.
        classes: seen and unseen classes are told apart, and their mean G is given.
    """

    name: str
    drop_last: bool = True
    late: bool = False
    binary: bool = False
    classes: bool = False

    @property
    def least_frames(self) -> int:
        """Frames of the shortest sequence of which one is scored."""
        return 2 + self.drop_last

    def scored_frames(self, frames: int, first: int = 0) -> np.ndarray:
        """Indices of the scored frames of an object given in frame ``first``."""
        return np.arange(first + 1, frames - self.drop_last)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("davis2017"),
        Protocol("davis2016", binary=True),
        Protocol("procedural", drop_last=False, late=True),
        Protocol("youtube-vos", drop_last=False, late=True, classes=True),
        Protocol("long-video", drop_last=False),
    )
}
"""davis2016, davis2017: first and last frame dropped. procedural, youtube-vos: objects may come late.
long-video (or long): only the first frame dropped (AFB-URR's scoring of long videos)."""

_ALIASES = {"long": "long-video"}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name; InputError names the choices."""
    name = _ALIASES.get(name, name)
    if name not in PROTOCOLS:
        raise InputError(f"unknown protocol {name!r}: expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
