# %% parameters
profile: str = "demo"

# %%
from IPython.display import display

from stremn.stages import pretrain as story
from stremn.stages.base import open_stage

stage = open_stage("pretrain", profile)
stage.parameters

# %%
clips = story.clips(stage)
story.look(clips)

# %%
networks = story.train(stage, clips)

# %%
for curve in story.save(stage, networks).values():
    display(curve)

# %%
stage.close()
