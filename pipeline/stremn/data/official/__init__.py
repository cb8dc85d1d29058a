"""Loaders of the papers' datasets in their official layouts; ``data.datasets`` opens them by name.

* ``davis``, ``youtube``, ``long_videos``: ``data.annotated.Clips``
* ``pairs``, ``coco``, ``voc``, ``cutouts``: images with masks, ``data.annotated.Images``
* ``kth``, ``human``, ``moving_mnist``, ``video_file``: ``data.videos.Videos``, for prediction

Nothing is written into a dataset's folder. A file that is damaged, missing or of the wrong size is an
InputError that names it; nothing is left out without a word.
"""
