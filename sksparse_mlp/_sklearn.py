"""The base of all estimators here: what scikit-learn's is, with links to our own pages."""

import os

from sklearn import base

# Where the documentation is published, without a slash at the end; empty while it is not.
DOCUMENTATION_URL = ""
# An environment variable that names another place.
DOCUMENTATION_VARIABLE = "SKSPARSE_MLP_DOCUMENTATION"


class BaseEstimator(base.BaseEstimator):
    """scikit-learn's, whose HTML representation links to the API reference of this package.

    There is no link as long as it is not known where the reference is.
    """

    _doc_link_module = "sksparse_mlp"

    @property
    def _doc_link_template(self) -> str:
        site = os.environ.get(DOCUMENTATION_VARIABLE, DOCUMENTATION_URL).rstrip("/")
        page = "/api/{estimator_module}.{estimator_name}.html"
        return site and site + page
