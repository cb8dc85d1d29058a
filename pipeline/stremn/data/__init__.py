"""Where the pixels come from: generated clips, images and walkers, folders on disk, batches.

Nothing here knows a model. Arrays are NumPy on disk and in folders, torch in batches:

* ``photographs`` → ``shapes``, ``motion``, ``render`` → ``procedural`` (clips), ``composites`` (images)
* ``skeleton`` → ``walkers``
* ``make`` writes all three sets; ``clips``, ``images``, ``windows`` read them and draw batches
* ``sheets`` draws what was made
"""
