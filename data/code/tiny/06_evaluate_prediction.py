# %% parameters
profile: str = "demo"

# %%
from stremn.stages import evaluate_prediction as story
from stremn.stages.base import open_stage

stage = open_stage("evaluate_prediction", profile)
stage.parameters

# %%
made = story.predict(stage)
len(made.names), made.frames.shape

# %%
scores = story.score(stage, made)
story.comparison(stage, made, scores)

# %%
story.table(stage, scores)

# %%
story.curves(stage, scores)

# %%
windows = story.windows(stage, made)
windows[0]

# %%
windows[-1]

# %%
stage.close()
