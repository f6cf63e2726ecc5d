"""Fields: networks of places and times, and the encodings of their inputs."""

from ._neural_field import BayesianNeuralField as BayesianNeuralField
