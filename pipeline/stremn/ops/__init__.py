"""Pure tensor functions: the equations of the papers, without state and without modules."""
