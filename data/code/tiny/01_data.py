# %% parameters
profile: str = "demo"

# %%
from IPython.display import display

from stremn.stages import data as story
from stremn.stages.base import open_stage

stage = open_stage("data", profile)
stage.parameters

# %%
manifest = story.make(stage)
story.summarise(stage)

# %%
drawn = story.look(stage)
drawn.pop("clips_train")

# %%
drawn.pop("static")

# %%
drawn.pop("walkers")

# %%
for figure in drawn.values():
    display(figure)

# %%
stage.close()
