"""Experiments of the literature, repeated with the protocols of the documents.

``python -m benchmarks.literature NAME`` runs one and writes its figures (JSON), its tables
beside the document's (Markdown) and its plots into ``benchmarks/literature/results``.
Finished runs are kept in the JSON file; a killed experiment continues where it was. The
folder ``SKSPARSE_MLP_DATA`` must hold the data sets.
"""
