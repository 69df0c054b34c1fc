"""What a fitted network is like inside, read from its public attributes."""

from sksparse_mlp._names import publish
from sksparse_mlp.analysis._activations import LayerActivations
from sksparse_mlp.analysis._activity import NodeActivity
from sksparse_mlp.analysis._distributions import ActivationDistributions
from sksparse_mlp.analysis._expected_gradients import ExpectedGradients
from sksparse_mlp.analysis._gradients import effective_gradient_flow, gradient_flow
from sksparse_mlp.analysis._layer_accuracies import LayerAccuracies, layer_accuracies
from sksparse_mlp.analysis._layer_classifier import LayerClassifier, NodeClassifier
from sksparse_mlp.analysis._memory import memory_footprint
from sksparse_mlp.analysis._metrics import average_ratioed_accuracy
from sksparse_mlp.analysis._plot._activation_medians import ActivationMediansDisplay
from sksparse_mlp.analysis._plot._attribution import AttributionDisplay
from sksparse_mlp.analysis._plot._connectivity import ConnectivityDisplay
from sksparse_mlp.analysis._plot._grid import GridDisplay
from sksparse_mlp.analysis._plot._layer_accuracy import LayerAccuracyDisplay
from sksparse_mlp.analysis._plot._network import NetworkDisplay
from sksparse_mlp.analysis._plot._node_activity import NodeActivityDisplay
from sksparse_mlp.analysis._plot._out_of_fold import OutOfFoldDisplay
from sksparse_mlp.analysis._plot._pre_activation import PreActivationDisplay
from sksparse_mlp.analysis._plot._slopes import SlopesDisplay
from sksparse_mlp.analysis._plot._training_history import TrainingHistoryDisplay
from sksparse_mlp.analysis._plot._variance_map import VarianceMapDisplay
from sksparse_mlp.analysis._plot._weight_distribution import WeightDistributionDisplay
from sksparse_mlp.analysis._report import report
from sksparse_mlp.analysis._topology import Connectivity, connectivity
from sksparse_mlp.estimators._memory import MemoryFootprint
from sksparse_mlp.estimators._summary import NetworkSummary

__all__ = [
    "ActivationDistributions",
    "ActivationMediansDisplay",
    "AttributionDisplay",
    "Connectivity",
    "ConnectivityDisplay",
    "ExpectedGradients",
    "GridDisplay",
    "LayerAccuracies",
    "LayerAccuracyDisplay",
    "LayerActivations",
    "LayerClassifier",
    "MemoryFootprint",
    "NetworkDisplay",
    "NetworkSummary",
    "NodeActivity",
    "NodeActivityDisplay",
    "NodeClassifier",
    "OutOfFoldDisplay",
    "PreActivationDisplay",
    "SlopesDisplay",
    "TrainingHistoryDisplay",
    "VarianceMapDisplay",
    "WeightDistributionDisplay",
    "average_ratioed_accuracy",
    "connectivity",
    "effective_gradient_flow",
    "gradient_flow",
    "layer_accuracies",
    "memory_footprint",
    "report",
]

publish(__name__, __all__)
