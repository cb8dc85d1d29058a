"""The memory: a fixed number of slots as a value, one ``write``, one ``read``, and every update rule.

>>> policy = make_policy("learned", slots=6)
>>> state = write(state, template, policy)          # STReMN Sec. 3.2
>>> read_BOChw = read(state, query_key_BChw)        # STReMN Eq. 5

Without gradients the same in place, for rules on slots and on single features alike:

>>> memory = make_memory(make_policy("lfu", slots=2))
>>> memory.write(template)                          # AMM Sec. III-D
>>> read_BOChw = memory.read(query_key_BChw)
"""

from stremn.memory.buffer import MemoryBuffer
from stremn.memory.differentiable import DifferentiableMemory
from stremn.memory.feature_state import FeatureState
from stremn.memory.features import FeatureMemory
from stremn.memory.interface import Memory, StepMemory, make_memory
from stremn.memory.policies import POLICIES, Policy, make_policy
from stremn.memory.read import read
from stremn.memory.state import MemoryState, Template
from stremn.memory.trace import Trace, TraceStep
from stremn.memory.write import decide, write

__all__ = [
    "POLICIES",
    "DifferentiableMemory",
    "FeatureMemory",
    "FeatureState",
    "Memory",
    "MemoryBuffer",
    "MemoryState",
    "Policy",
    "StepMemory",
    "Template",
    "Trace",
    "TraceStep",
    "decide",
    "make_memory",
    "make_policy",
    "read",
    "write",
]
