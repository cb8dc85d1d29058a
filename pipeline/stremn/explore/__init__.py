"""Look into the memory: a session without a screen, and the explorer for notebooks and the browser.

>>> from stremn.explore.session import Session
>>> session = Session.open(frames, first_mask, slots=5)
>>> run = session.run()
>>> session.heat(run, 20, x=40, y=50).maps

In a notebook: ``from stremn.explore.open import explorer``. Nothing is imported here, so that the page's server
starts without PyTorch.
"""
