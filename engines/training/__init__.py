"""Training system: teacher generator, multi-view sets, codebook of synthetic people (extra ``train``)."""
