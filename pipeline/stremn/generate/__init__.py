"""Generated data: clips, images and walkers drawn by a program, so that the demo needs no download.

* ``data.photographs`` → ``shapes``, ``motion``, ``render`` → ``procedural`` (clips), ``composites`` (images)
* ``skeleton`` → ``walkers``
* ``make`` writes all three sets; ``data`` reads them like any other dataset
"""
