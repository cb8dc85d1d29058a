"""Published numbers as data, each table with its source and with what it can be compared to.

Row keys are the names of our rules and systems where we have them, so that ``tables.beside`` can
put a measured value into the same row. Scores of segmentation are percentages; None: not reported.
"""

from dataclasses import dataclass

STREMN = "Nguyen, Kim, Li: Space Time Recurrent Memory Network, arXiv 2109.06474"
STM = "Oh, Lee, Xu, Kim: Video Object Segmentation using Space-Time Memory Networks, ICCV 2019"
AMM = "Pourganjalikhan, Poullis: Adaptive Memory Management for Video Object Segmentation, CRV 2022"

Value = float | None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    columns: names of the values. rows: key → (label as in the paper, values in the columns' order).
    source: citation with table number. conditions: data, split and training behind the numbers.
    """

    title: str
    source: str
    conditions: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, tuple[Value, ...]]]

    def value(self, row: str, column: str) -> Value:
        """One number."""
        return self.rows[row][1][self.columns.index(column)]


RULES = PaperTable(
    "Memory update rules",
    f"{STREMN}, Table 1",
    "DAVIS 2017 test-dev, 6 slots, ResNet-50, trained on images, DAVIS and YouTube-VOS",
    ("J", "F", "J&F"),
    {
        "oldest": ("(A) Remove oldest", (73.3, 80.0, 76.7)),
        "newest": ("(B) Remove newest", (72.9, 79.2, 76.0)),
        "random_drop": ("(C) Random drop", (72.4, 78.7, 75.5)),
        "random_select": ("(D) Random select", (73.7, 80.1, 76.9)),
        "first_and_previous": ("(E) First and last frame", (71.5, 78.8, 75.2)),
        "most_similar": ("(F) Drop the most similar", (73.5, 80.2, 76.9)),
        "learned": ("Learned", (74.8, 81.8, 78.3)),
    },
)

SLOTS = PaperTable(
    "Number of memory slots, learned rule",
    f"{STREMN}, Table 2",
    "DAVIS 2017 test-dev, ResNet-50, trained on images, DAVIS and YouTube-VOS",
    ("J&F",),
    {
        str(slots): (f"{slots} slots", (value,))
        for slots, value in {3: 76.3, 4: 76.9, 5: 77.8, 6: 78.3, 7: 77.3}.items()
    },
)

DAVIS17 = PaperTable(
    "DAVIS 2017",
    f"{STREMN}, Table 3",
    "trained on images, DAVIS and YouTube-VOS; MS: several scales and flips at test time",
    ("val J", "val F", "val J&F", "test-dev J", "test-dev F", "test-dev J&F"),
    {
        "stm": ("STM", (79.2, 84.3, 81.8, 69.3, 75.2, 72.2)),
        "kmn": ("KMN", (80.0, 85.6, 82.8, 74.1, 80.3, 77.2)),
        "egm": ("EGM", (80.2, 85.2, 82.8, None, None, None)),
        "cfbi": ("CFBI", (79.1, 84.6, 81.9, 71.1, 78.5, 74.8)),
        "rmnet": ("RMNet", (81.0, 86.0, 83.5, 71.9, 78.1, 75.0)),
        "lcm": ("LCM", (80.5, 86.5, 83.5, 74.4, 81.8, 78.1)),
        "stcn": ("STCN", (82.2, 88.6, 85.4, 73.1, 80.0, 76.5)),
        "stremn": ("STReMN", (81.3, 86.1, 83.7, 74.8, 81.8, 78.3)),
        "stremn-ms": ("STReMN-MS", (83.4, 88.2, 85.8, 75.6, 82.7, 79.1)),
    },
)

YOUTUBE_VOS = PaperTable(
    "YouTube-VOS 2018",
    f"{STREMN}, Table 4",
    "official validation server; G is the mean of the four columns",
    ("J seen", "F seen", "J unseen", "F unseen", "G"),
    {
        "stm": ("STM", (79.7, 84.2, 72.8, 80.9, 79.4)),
        "kmn": ("KMN", (81.4, 85.6, 72.8, 84.2, 80.9)),
        "cfbi": ("CFBI", (81.1, 85.8, 75.3, 83.4, 81.4)),
        "rmnet": ("RMNet", (82.1, 85.7, 75.7, 82.4, 81.5)),
        "lcm": ("LCM", (82.2, 86.7, 75.7, 83.4, 82.0)),
        "stcn": ("STCN", (81.9, 86.5, 77.9, 85.7, 83.0)),
        "stremn": ("STReMN", (79.6, 83.8, 76.1, 84.1, 80.9)),
        "stremn-ms": ("STReMN-MS", (80.7, 85.0, 77.6, 85.5, 82.2)),
    },
)

PREDICTION = PaperTable(
    "Video prediction",
    f"{STREMN}, Table 5",
    "Human3.6M: 4 frames observed, 4 predicted, MIM's conventions; KTH: 10 observed, 20 predicted, "
    "PredRNN's conventions; 128×128",
    ("H36M MSE/10", "H36M MAE/100", "H36M SSIM", "KTH PSNR", "KTH SSIM", "KTH LPIPS"),
    {
        "convlstm": ("ConvLSTM", (50.4, 18.9, 0.776, 23.58, 0.712, 0.231)),
        "causal-lstm": ("Causal LSTM", (45.8, 17.2, 0.851, None, None, None)),
        "mim": ("MIM", (42.9, 17.8, 0.79, None, None, None)),
        "e3d-lstm": ("E3D-LSTM", (46.4, 16.6, 0.869, None, None, None)),
        "predrnn": ("PredRNN", (48.4, 18.9, 0.781, 27.55, 0.839, 0.204)),
        "mcnet": ("MCnet + residual", (None, None, None, 26.29, 0.806, None)),
        "trajgru": ("TrajGRU", (None, None, None, 26.97, 0.790, None)),
        "dfn": ("DFN", (None, None, None, 27.26, 0.794, None)),
        "conv-tt-lstm": ("Conv-TT-LSTM", (None, None, None, 27.62, 0.815, 0.204)),
        "stremn": ("STReMN", (37.89, 14.04, 0.906, 27.44, 0.834, 0.134)),
    },
)

FUSION = PaperTable(
    "Fusion of the removed template",
    f"{STREMN}, Table 6",
    "DAVIS 2017 test-dev; the weights were reused, not retrained, without fusion",
    ("J&F",),
    {"fusion": ("With fusion", (76.7,)), "no-fusion": ("Without fusion", (76.7,))},
)

STM_RULES = PaperTable(
    "STM's memory rules",
    f"{STM}, Table 5",
    "validation sets; YouTube-VOS 2018 overall score, DAVIS mean J; seconds a frame on DAVIS 2016",
    ("YouTube-VOS G", "DAVIS 2016 J", "DAVIS 2017 J", "seconds"),
    {
        "first": ("First", (68.9, 81.4, 67.0, 0.06)),
        "previous": ("Previous", (69.7, 83.2, 69.6, 0.06)),
        "first_and_previous": ("First & previous", (78.4, 87.8, 77.7, 0.07)),
        "every_n": ("Every 5 frames", (79.4, 88.7, 79.2, 0.16)),
    },
)

AMM_DAVIS17 = PaperTable(
    "Feature-level removal on STCN",
    f"{AMM}, Table I",
    "DAVIS 2017 validation, STCN backbone",
    ("J", "J-Recall", "J-Decay", "F", "F-Recall", "F-Decay", "J&F"),
    {
        "every_n": ("Every 5 frames", (82.0, 91.3, 6.2, 88.6, 94.6, 8.6, 85.3)),
        "first_and_previous": ("First and latest", (79.5, 90.4, 10.8, 85.4, 92.9, 14.0, 82.5)),
        "lfu": ("AMM, two frames of features", (81.3, 90.4, 8.1, 87.4, 92.9, 10.7, 84.4)),
    },
)

TABLES: dict[str, PaperTable] = {
    "stremn-1": RULES,
    "stremn-2": SLOTS,
    "stremn-3": DAVIS17,
    "stremn-4": YOUTUBE_VOS,
    "stremn-5": PREDICTION,
    "stremn-6": FUSION,
    "stm-5": STM_RULES,
    "amm-1": AMM_DAVIS17,
}
