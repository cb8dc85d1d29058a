"""Numbers of AMM (CRV 2022): feature-level removal on STCN."""

from stremn.report.papers.table import PaperTable

SOURCE = "Pourganjalikhan, Poullis: Adaptive Memory Management for Video Object Segmentation, CRV 2022"
OFFICIAL = ("J", "J-Recall", "J-Decay", "F", "F-Recall", "F-Decay", "J&F")

AMM_DAVIS16 = PaperTable(
    "Feature-level removal on STCN, DAVIS 2016",
    f"{SOURCE}, Table I",
    "DAVIS 2016 validation, STCN backbone",
    OFFICIAL,
    {
        "every_n": ("Every 5 frames", (90.4, 98.1, 4.1, 93.0, 97.1, 4.3, 91.7)),
        "first_and_previous": ("First and latest", (88.0, 95.3, 8.3, 91.0, 94.4, 8.4, 89.5)),
        "lfu": ("AMM, two frames of features", (89.5, 97.6, 6.1, 92.3, 96.8, 5.8, 90.9)),
    },
)

AMM_DAVIS17 = PaperTable(
    "Feature-level removal on STCN, DAVIS 2017",
    f"{SOURCE}, Table I",
    "DAVIS 2017 validation, STCN backbone",
    OFFICIAL,
    {
        "every_n": ("Every 5 frames", (82.0, 91.3, 6.2, 88.6, 94.6, 8.6, 85.3)),
        "first_and_previous": ("First and latest", (79.5, 90.4, 10.8, 85.4, 92.9, 14.0, 82.5)),
        "lfu": ("AMM, two frames of features", (81.3, 90.4, 8.1, 87.4, 92.9, 10.7, 84.4)),
    },
)

AMM_YOUTUBE = PaperTable(
    "Feature-level removal on STCN, YouTube-VOS",
    f"{SOURCE}, Table II",
    "YouTube-VOS validation",
    ("J seen", "J unseen", "F seen", "F unseen", "J&F"),
    {
        "every_n": ("Every 5 frames", (82.6, 79.3, 86.9, 87.6, 84.1)),
        "first_and_previous": ("First and latest", (79.9, 75.1, 83.9, 83.2, 80.5)),
        "lfu": ("AMM, two frames of features", (80.3, 76.1, 84.3, 83.8, 81.1)),
    },
)

AMM_SPEED = PaperTable(
    "Speed and size of the memory",
    f"{SOURCE}, Table III",
    "DAVIS 2017 validation, GTX 1070; memory in frames (for every 5: the average)",
    ("frames/s", "memory"),
    {
        "every_n": ("Every 5 frames", (6.3, 7.0)),
        "first_and_previous": ("First and latest", (8.4, 2.0)),
        "lfu": ("AMM, two frames of features", (11.4, 2.0)),
    },
)

AMM_INDEX = PaperTable(
    "What counts as a use of a feature",
    f"{SOURCE}, Table IV",
    "two frames of features; the paper's J&F of 83.0 is not the mean of its J 79.9 and F 82.2",
    ("DAVIS 2017 J", "DAVIS 2017 F", "DAVIS 2017 J&F", "YouTube-VOS J", "YouTube-VOS F", "YouTube-VOS J&F"),
    {
        "lfu_softmax": ("Softmax weight", (79.9, 82.2, 83.0, 76.2, 81.8, 79.0)),
        "lfu": ("Top-k membership", (81.3, 87.4, 84.4, 78.2, 84.0, 81.1)),
    },
)

AMM_REGULARISED = PaperTable(
    "Regularisers of the affinity, DAVIS",
    f"{SOURCE}, Table V",
    "STCN trained with each regulariser, every 5 frames kept; DAVIS 2017 validation; the paper's J&F of 81.6 for "
    "dropout is not the mean of its J 79.1 and F 85.5",
    OFFICIAL,
    {
        "stcn_dropout": ("STCN + dropout", (79.1, 88.1, 9.4, 85.5, 92.3, 10.5, 81.6)),
        "stcn_reallocation": ("STCN + reallocation", (78.5, 86.7, 9.5, 84.4, 91.4, 11.0, 81.4)),
        "stcn": ("STCN", (82.0, 91.3, 6.2, 88.6, 94.6, 8.6, 85.3)),
    },
)

AMM_REGULARISED_YOUTUBE = PaperTable(
    "Regularisers of the affinity, YouTube-VOS",
    f"{SOURCE}, Table VI",
    "STCN trained with each regulariser, every 5 frames kept; YouTube-VOS validation",
    ("J seen", "J unseen", "F seen", "F unseen", "J&F"),
    {
        "stcn_dropout": ("STCN + dropout", (81.0, 76.9, 84.9, 84.0, 81.6)),
        "stcn_reallocation": ("STCN + reallocation", (80.9, 75.8, 85.2, 83.6, 81.4)),
        "stcn": ("STCN", (82.6, 79.3, 86.9, 87.6, 84.1)),
    },
)
