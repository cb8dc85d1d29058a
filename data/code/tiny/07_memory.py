# %% parameters
profile: str = "demo"

# %%
from stremn.stages import memory as story
from stremn.stages.base import open_stage

stage = open_stage("memory", profile)
stage.parameters

# %%
traces = story.load(stage)
summary = story.count(stage, traces)
summary["read_mass_by_role"]

# %%
statistics = story.draw_statistics(stage, traces, summary)
statistics["distance"]

# %%
statistics["evictions"]

# %%
statistics["distinctness"]

# %%
clip = story.draw_clips(stage, traces)
clip["kept"]

# %%
clip["around"]

# %%
clip["lives"]

# %%
clip["scores"]

# %%
stage.close()
clip["read_mass"]
