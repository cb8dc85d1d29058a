"""Scoring: pure functions of arrays and of saved result folders; no model is imported here.

``vos`` scores segmentations (J, F, J&F), ``classes`` tells YouTube-VOS's seen and unseen classes apart (G),
``prediction`` and ``lpips`` score predicted frames,
``bootstrap`` gives confidence intervals, ``papers`` holds published numbers and ``tables`` puts
ours beside them.
"""
