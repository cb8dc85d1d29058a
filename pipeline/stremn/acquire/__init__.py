"""Getting the papers' datasets and weights, and knowing exactly what is on disk.

* ``catalogue`` reads ``acquire/catalogue.yaml``: one entry per dataset or weight
* ``download`` and ``sources`` fetch files; ``checks`` knows web pages, damaged and wrong files
* ``unpack`` opens archives without trusting them; ``get`` puts the pieces together
* ``layout`` compares a folder with the official layout
* ``installed`` knows what is on this disk and hashes it; the data stage calls its ``prepare``

Nothing here reads pixels or knows a model.
"""
