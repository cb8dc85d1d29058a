"""``stremn.open_stream``: a system, its weights and a memory rule by name."""

from pathlib import Path
from typing import Any

from stremn.errors import InputError
from stremn.inference.plugin import rule_of
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import Policy
from stremn.models.checkpoints import shipped_checkpoint
from stremn.models.official import load_network
from stremn.models.registry import SYSTEMS
from stremn.models.vos import VOSNetwork
from stremn.tasks.rules import policy_for

OF_POLICY = {"slots", "every", "protect_first", "protect_previous", "per_object", "fusion"}


SHORTER_SIDE = 240  # pixels, where a checkpoint does not say what it was trained at
RELEASED_SIDE = 480  # of the released weights of STM and STCN: DAVIS at 480p


def policy_of(settings: StreamSettings) -> Policy:
    """The memory rule that settings name.

    Raises:
        InputError: an unknown system or rule, one that the system cannot use, or a plugin that is wrong.
    """
    if settings.system not in SYSTEMS:
        raise InputError(f"expected a system of {', '.join(SYSTEMS)}, found {settings.system!r}: choose one")
    rule = settings.policy if settings.plugin is None else rule_of(settings.plugin, settings.policy)
    return policy_for(SYSTEMS[settings.system], rule, **settings.model_dump(include=OF_POLICY))


def weights_of(settings: StreamSettings) -> Path:
    """The file of weights that settings name. Raises InputError where none comes with the package."""
    return settings.checkpoint or shipped_checkpoint(settings.system)


def open_system(settings: StreamSettings) -> tuple[VOSNetwork, Policy, dict[str, Any]]:
    """The network that settings name, its memory rule, and the description in its checkpoint.

    Raises:
        InputError: see ``policy_of``; a checkpoint of another system.
    """
    policy = policy_of(settings)
    network, meta = load_network(weights_of(settings), settings.system)
    return network, policy, meta


def open_stream(settings: StreamSettings | None = None, **fields: Any) -> Stream:
    """Start segmenting a video.

    >>> import stremn
    >>> stream = stremn.open_stream(policy="learned", slots=6)

    Args:
        settings: a whole value of settings; None: the defaults.
        fields: of ``inference.settings.StreamSettings``, where each is explained; they replace those of
            ``settings``.

    Raises:
        InputError: an unknown field or name, a checkpoint of another system, a device that is not there.
    """
    settings = StreamSettings.parse({**dict(settings or {}), **fields}, "open_stream")
    return Stream(*open_system(settings), settings)


def default_size(meta: dict[str, Any]) -> int | None:
    """The shorter side in pixels that a checkpoint was trained at, None where it does not say."""
    trained = meta.get("trained")
    if isinstance(trained, dict) and "official" in trained:
        return RELEASED_SIDE
    size = meta.get("default_size")
    return None if size is None else int(size)


def working_size(meta: dict[str, Any], frame_size: tuple[int, int], wanted: int | None = None) -> int:
    """The shorter side in pixels at which to process frames, never above the frames' own.

    Args:
        meta: of the checkpoint, for its default.
        frame_size: (H, W) of the frames.
        wanted: what the user asks for; None: the checkpoint's default, else 240.
    """
    return min(wanted or default_size(meta) or SHORTER_SIDE, *frame_size)
