"""From memory traces and saved scores to statistics and figures: data in, figure out.

``traces`` counts, ``distinctness`` compares kept frames; the figures are in ``memory_figures``,
``memory_strips``, ``cost_figures``, ``vos_figures``, ``prediction_figures`` and share one ``style``.
"""
