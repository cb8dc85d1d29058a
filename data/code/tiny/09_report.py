# %% parameters
profile: str = "demo"

# %%
from stremn.stages import report as story
from stremn.stages.base import open_stage

stage = open_stage("report", profile)
stage.parameters

# %%
segmentation = story.segmentation(stage)
story.shown(segmentation[0], 0)

# %%
story.shown(segmentation[0], 1)

# %%
story.shown(segmentation[1], 0)

# %%
story.shown(segmentation[2], 0)

# %%
story.shown(segmentation[3], 0)

# %%
prediction = story.prediction(stage)
story.shown(prediction, 0)

# %%
others = story.memory_and_cost(stage)
story.shown(others[1], 0)

# %%
path = story.write(stage, [*segmentation, prediction, *others])
stage.close()
path.name, path.stat().st_size
