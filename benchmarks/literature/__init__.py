"""The literature's tables, reproduced with the protocols of the documents.

Without a name the tables are listed. A table's figures (JSON), its report beside the
document's own figures (Markdown) and its plots go into ``benchmarks/literature/results``.
Every run is kept as soon as it is finished: a killed program continues where it was. The
data sets come from the folder ``SKSPARSE_MLP_DATA``, or are fetched.
"""
