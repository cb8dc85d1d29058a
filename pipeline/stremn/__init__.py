"""STReMN, reproduced: a network with a memory of a fixed number of slots that learns which one to overwrite.

Glossary: the papers' terms, their symbols and their names here.

=====================  ==============  ==========================================================
term                   symbol          in the code
=====================  ==============  ==========================================================
slot                   i = 1…K         one place of ``memory.MemoryState``
template               X_t             ``memory.Template``: one frame, encoded for the memory
query encoder          QE, X^Q         ``encode_query`` of a network, ``models.vos.Query``
memory encoder         ME, X^M         ``encode_memory``: frame and masks
key, value             k, v            ``Template.key``, ``Template.value``
update key             U^Q, U^M        ``Template.update_query``, ``Template.update_key``
similarity             s_i (Eq. 1)     ``ops.similarity.template_similarity``
Gumbel-softmax         a (Eqs. 2–3)    ``ops.gumbel.straight_through``
memory update          Eq. 4           ``memory.write``; the rules are in ``memory.policies``
space-time read        y_i (Eq. 5)     ``memory.read``, ``ops.attention.space_time_read``
soft aggregation       STM Sec. 3.4    ``ops.aggregation.aggregation_logits``
read mass              –               share of the attention that a slot receives
=====================  ==============  ==========================================================
"""

import sys
from typing import Any

OLDEST_PYTHON = (3, 11, 4)
if sys.version_info < OLDEST_PYTHON:  # before anything that an older one cannot read
    print(
        "error: expected Python %d.%d.%d or newer" % OLDEST_PYTHON  # noqa: UP031
        + ", found %d.%d.%d: make an environment with a newer one, as README says" % sys.version_info[:3],  # noqa: UP031
        file=sys.stderr,
    )
    raise SystemExit(2)

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "Stream",
    "memory_rule",
    "open_stream",
    "resume_segmenting",
    "resume_stream",
    "segment_video",
]

_HOMES = {
    "InputError": "stremn.errors",
    "Stream": "stremn.inference.stream",
    "memory_rule": "stremn.inference.plugin",
    "open_stream": "stremn.inference.open",
    "resume_segmenting": "stremn.segmenting.segment_video",
    "resume_stream": "stremn.inference.stream",
    "segment_video": "stremn.segmenting.segment_video",
}


def __getattr__(name: str) -> Any:
    """Import PyTorch only when something that needs it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stremn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
