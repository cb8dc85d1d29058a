# %% parameters
profile: str = "demo"

# %%
from stremn.stages import cost as story
from stremn.stages.base import open_stage

stage = open_stage("cost", profile)
stage.parameters

# %%
found = story.run(stage)
systems = story.summarise(stage, found)
drawn = story.draw(stage, systems, found)
drawn["cost"]

# %%
stage.close()
drawn["frame_time"]
