"""Scoring: pure functions of arrays and of saved result folders; no model is imported here.

``vos`` scores segmentations (J, F, J&F), ``classes`` tells YouTube-VOS's seen and unseen classes apart (G),
``prediction`` and ``lpips`` score predicted frames, ``bootstrap`` gives confidence intervals, ``runs`` selects the
evaluation's runs by how they were made, ``traces`` and ``distinctness`` count what a memory did.
"""
