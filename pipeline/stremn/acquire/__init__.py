"""Getting the papers' datasets and weights, and knowing exactly what is on disk.

* ``catalogue`` reads ``acquire/catalogue.yaml``: one entry per dataset or weight
* ``download``, ``sources`` fetch files; ``sniff`` and ``checksum`` decide whether one is accepted
* ``unpack`` opens archives without trusting them; ``get`` puts the pieces together
* ``layout`` compares a folder with the official layout; ``index`` hashes its files
* ``places`` says where things lie; ``prepare`` is what the data stage calls

Nothing here reads pixels or knows a model.
"""
