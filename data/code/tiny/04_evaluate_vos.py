# %% parameters
profile: str = "demo"

# %%
from stremn.stages import evaluate_vos as story
from stremn.stages.base import open_stage

stage = open_stage("evaluate_vos", profile)
stage.parameters

# %%
scores = story.score(stage, story.segment(stage))
story.tables(stage, scores).round(1)

# %%
story.seeds(stage, scores)

# %%
drawn = story.figures(stage, scores)
drawn["rules"]

# %%
drawn["differences"]

# %%
drawn["slots"]

# %%
drawn.get("capacity")

# %%
drawn["over_time"]

# %%
drawn["distribution"]

# %%
drawn["strip"]

# %%
stage.close()
drawn.get("read")
