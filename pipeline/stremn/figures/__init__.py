"""All drawing: data in, figure out. No number of a result is made here.

``style`` is shared by all. ``overlays`` and ``browser`` paint single pictures, the others draw figures.
"""
