"""Needs the `parity` extra; run by its own command, `pytest tests/parity`."""

import os

# As in the tests beside: compiling takes longer than running.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import pytest
import torch

from tests.parity import reference

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)
torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return reference.tokenizer(tmp_path_factory.mktemp("tokenizer"))


def saved(request, tokenizer, tmp_path_factory):
    return save(request.param, tokenizer, tmp_path_factory)


def save(kind, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp(kind)
    reference.pipeline(kind, tokenizer).save_pretrained(path)
    return reference.with_sentencepiece(path, tokenizer)


@pytest.fixture(scope="session")
def control_folder(tokenizer, tmp_path_factory):
    """A pipeline with a control branch."""
    return save("vace", tokenizer, tmp_path_factory)


@pytest.fixture(scope="session", params=reference.TEXT_KINDS)
def folder(request, tokenizer, tmp_path_factory):
    """A pipeline of each kind, in diffusers' layout."""
    return saved(request, tokenizer, tmp_path_factory)


@pytest.fixture(scope="session")
def image_folder(request, tokenizer, tmp_path_factory):
    """One of a kind that begins with a picture."""
    return saved(request, tokenizer, tmp_path_factory)
