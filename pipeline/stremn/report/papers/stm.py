"""Numbers of STM (ICCV 2019)."""

from stremn.report.papers.table import PaperTable

SOURCE = "Oh, Lee, Xu, Kim: Video Object Segmentation using Space-Time Memory Networks, ICCV 2019"

STM_TRAINING = PaperTable(
    "What the network was trained on",
    f"{SOURCE}, Table 4",
    "validation sets; YouTube-VOS 2018 overall score; cross: trained on the other of the two data sets",
    ("YouTube-VOS G", "DAVIS 2017 J", "DAVIS 2017 F"),
    {
        "pretraining": ("Pre-training only", (69.1, 57.9, 62.1)),
        "main": ("Main training only", (68.2, 38.1, 47.9)),
        "both": ("Both", (79.4, 69.2, 74.0)),
        "cross": ("Cross validation", (56.3, 78.6, 83.5)),
    },
)

STM_RULES = PaperTable(
    "STM's memory rules",
    f"{SOURCE}, Table 5",
    "validation sets; YouTube-VOS 2018 overall score, DAVIS mean J; seconds a frame on DAVIS 2016",
    ("YouTube-VOS G", "DAVIS 2016 J", "DAVIS 2017 J", "seconds"),
    {
        "first": ("First", (68.9, 81.4, 67.0, 0.06)),
        "previous": ("Previous", (69.7, 83.2, 69.6, 0.06)),
        "first_and_previous": ("First & previous", (78.4, 87.8, 77.7, 0.07)),
        "every_n": ("Every 5 frames", (79.4, 88.7, 79.2, 0.16)),
    },
)
