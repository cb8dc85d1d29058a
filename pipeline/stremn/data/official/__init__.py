"""Loaders of the papers' datasets in their official layouts; ``data.datasets`` opens them by name.

* ``davis``, ``youtube``, ``long_videos``: clips with the interface of ``clips.ClipFolder``
* ``pairs``, ``coco``, ``voc``, ``cutouts``: images with masks, with the interface of ``images.StaticFolder``
* ``kth``, ``human``, ``moving_mnist``, ``video_file``: videos for prediction, all ``data.videos.Videos``

Nothing is written into a dataset's folder. A file that is damaged, missing or of the wrong size is an
InputError that names it; nothing is left out without a word.
"""
