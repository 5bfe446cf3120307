"""TFDS datasets that others built are read by the features that a config names."""

from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sora_jax.data.sources import tfds_records
from sora_jax.data.sources.tfds_store import TfdsStore, find_directories
from sora_jax.datasets import builder
from tests.helpers import clip_files


class Others(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records as others write them, one of which is no video."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar = {}

    def __init__(self, names, **kwargs):
        self.names = names
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        clip, text = self.names
        features = {clip: np.object_, text: tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(4):
            content = b"no video" if number == 1 else clip_files.mp4(number + 1)
            yield number, dict(zip(self.names, (content, f"{number}"), strict=True))


@pytest.mark.parametrize("names", [("clip", "said"), ("video", "captions")])
def test_a_dataset_of_others_is_read(tmp_path, caplog, names):
    with builder._quiet():
        Others(names, data_dir=str(tmp_path)).download_and_prepare()
    directories = find_directories(tmp_path / "others")
    if names != tfds_records.NATIVE:
        with pytest.raises(ValueError, match=r"data.fields .* there are: clip, said"):
            len(TfdsStore(directories, "train"))
    store = TfdsStore(directories, "train", names)
    assert [store.describe(i).name for i in range(len(store))] == [
        "train[0]",
        "train[2]",
        "train[3]",
    ]
    assert "clips that cannot be read: 1\n  train[1]: train[1] cannot" in caplog.text
    assert store.content(1) == clip_files.mp4(3)
    assert store.describe(1).spec.captions[0].texts == ("2",)
    last = TfdsStore(directories, "train[3:]", names)
    assert (len(last), last.describe(0).name) == (1, "train[3]")
    with pytest.raises(ValueError, match="no clip can be read"):
        len(TfdsStore(directories, "train[1:2]", names))
