# %% parameters
profile: str = "demo"

# %%
from IPython.display import display

from stremn.stages import train_prediction as story
from stremn.stages.base import open_stage

stage = open_stage("train_prediction", profile)
stage.parameters

# %%
windows = story.windows(stage)
story.look(windows)

# %%
networks = story.train(stage, windows)

# %%
for curve in story.save(stage, networks).values():
    display(curve)

# %%
stage.close()
