"""Sequences: recurrent nets, attention, Transformers, captioning, and decoding."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.sequence._attention_maps import attention_maps
from cvcourse.sequence._bleu import bleu
from cvcourse.sequence._interpretable_units import interpretable_units
from cvcourse.sequence.captioner import Captioner
from cvcourse.sequence.captioning import AttendingLSTM
from cvcourse.sequence.decoding import Generator
from cvcourse.sequence.gradient_flow import (
    gradient_norms,
    input_gradient_norms,
    share_of_first_half,
)
from cvcourse.sequence.gru import GRUCell
from cvcourse.sequence.lstm import LSTMCell
from cvcourse.sequence.positions import LearnedPositions, SinusoidalPositions
from cvcourse.sequence.registry import REGISTRY, build, builder_args, settings_of
from cvcourse.sequence.rnn import RNNCell
from cvcourse.sequence.text_sampler import TextSampler
from cvcourse.sequence.torch_weights import load_torch
from cvcourse.sequence.translator import Translator

__all__ = [
    "REGISTRY",
    "AttendingLSTM",
    "Captioner",
    "GRUCell",
    "Generator",
    "LSTMCell",
    "LearnedPositions",
    "RNNCell",
    "SinusoidalPositions",
    "TextSampler",
    "Translator",
    "attention_maps",
    "bleu",
    "build",
    "builder_args",
    "gradient_norms",
    "input_gradient_norms",
    "interpretable_units",
    "load_torch",
    "settings_of",
    "share_of_first_half",
]

__getattr__ = renamed_attributes(__name__, knobs="builder_args")
