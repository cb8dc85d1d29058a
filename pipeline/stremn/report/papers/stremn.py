"""Numbers of STReMN (arXiv 2109.06474) and of an earlier version of it."""

from stremn.report.papers.table import PaperTable

SOURCE = "Nguyen, Kim, Li: Space Time Recurrent Memory Network, arXiv 2109.06474"
EARLIER = "an earlier version of STReMN, under review at ICLR 2022"

RULES = PaperTable(
    "Memory update rules",
    f"{SOURCE}, Table 1",
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
    f"{SOURCE}, Table 2",
    "DAVIS 2017 test-dev, ResNet-50, trained on images, DAVIS and YouTube-VOS",
    ("J&F",),
    {
        str(slots): (f"{slots} slots", (value,))
        for slots, value in {3: 76.3, 4: 76.9, 5: 77.8, 6: 78.3, 7: 77.3}.items()
    },
)

DAVIS17 = PaperTable(
    "DAVIS 2017",
    f"{SOURCE}, Table 3",
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
    f"{SOURCE}, Table 4",
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
    f"{SOURCE}, Table 5",
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
    f"{SOURCE}, Table 6",
    "DAVIS 2017 test-dev; the weights were reused, not retrained, without fusion",
    ("J&F",),
    {"fusion": ("With fusion", (76.7,)), "no-fusion": ("Without fusion", (76.7,))},
)

SEQUENCES = PaperTable(
    "IoU of single sequences by number of slots",
    f"{EARLIER}, Table 11 (the rows that the text at hand holds)",
    "DAVIS 2017 validation; σ is the standard deviation over 2, 3 and 6 slots",
    ("2 slots", "3 slots", "6 slots", "σ"),
    {
        name: (name, values)
        for name, values in {
            "bike-packing_1": (0.727, 0.715, 0.710, 0.009),
            "bike-packing_2": (0.847, 0.844, 0.841, 0.003),
            "blackswan_1": (0.962, 0.962, 0.961, 0.001),
            "bmx-trees_1": (0.490, 0.500, 0.510, 0.010),
            "bmx-trees_2": (0.742, 0.743, 0.743, 0.001),
            "breakdance_1": (0.796, 0.802, 0.796, 0.003),
            "camel_1": (0.850, 0.850, 0.848, 0.001),
            "car-roundabout_1": (0.976, 0.976, 0.982, 0.003),
            "car-shadow_1": (0.968, 0.966, 0.965, 0.002),
            "cows_1": (0.961, 0.961, 0.961, 0.000),
            "dance-twirl_1": (0.882, 0.884, 0.887, 0.003),
            "dog_1": (0.961, 0.961, 0.962, 0.001),
            "dogs-jump_1": (0.859, 0.856, 0.832, 0.015),
            "dogs-jump_2": (0.934, 0.934, 0.934, 0.000),
        }.items()
    },
)
