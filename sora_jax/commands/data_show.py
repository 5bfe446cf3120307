"""The `sora-jax data show` program: what a dataset or a folder of clips holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

import tyro
from etils import epath

from sora_jax import cli
from sora_jax.data import outputs
from sora_jax.data.sources import summary, tfds_records, tfds_store
from sora_jax.data.sources.folder import FolderStore, measure, split_names
from sora_jax.data.sources.folder_scan import scan_folder
from sora_jax.data.sources.stored import ClipStore
from sora_jax.files import located, quoted


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Flags of the program."""

    # A folder of clips, or of a TFDS dataset; or a dataset's name, with --data_dir.
    path: Annotated[str, tyro.conf.Positional]
    # Folder of datasets, if a name is given.
    data_dir: str = ""
    # Only this split.
    split: str = ""
    # Features of video and caption, for datasets that others have built.
    fields: tuple[str, str] = tfds_records.NATIVE
    # A contact sheet to write: .png.
    out: str = ""


def main(argv: Sequence[str]) -> None:
    """Show number, sizes, lengths, rates and captions of clips, and a contact sheet.

    Raises:
      ValueError: there is no dataset and no clip at the path.
    """
    options = cli.parse(ShowOptions, argv, about=main.__doc__)
    if options.out:
        outputs.check_output(options.out)
    stores = open_stores(options)
    for split, store in stores.items():
        cli.say(f"{split}:")
        specs = [store.describe(number) for number in range(len(store))]
        for line in summary.summary(specs):
            cli.say(f"  {line}")
    if options.out:
        largest = max(stores.values(), key=len)
        sheet = summary.contact_sheet(largest)
        path = outputs.write(options.out, [sheet[None]], 1, field="--out")
        cli.say(f"written: {path}")


def open_stores(options: ShowOptions) -> Mapping[str, ClipStore]:
    """Open the splits of a dataset, or of a folder.

    Raises:
      ValueError: there are none.
    """
    named = options.data_dir and f"{options.data_dir}/{options.path}"
    path = located(named or options.path, "PATH")
    if not path.is_dir():
        hint = "" if named else "; for a dataset's name, give its --data_dir"
        raise ValueError(f"{quoted(path)} is no folder: check the spelling{hint}")
    directories = tfds_store.find_directories(path)
    if directories:
        stores = _dataset(directories, options)
    elif datasets := _datasets_in(path):
        raise ValueError(
            f"{quoted(path)} holds datasets: give one of them, such as "
            f"{quoted(datasets[0])}"
        )
    else:
        stores = _folder(path)
    if options.split:
        if options.split not in stores:
            names = ", ".join(stores)
            raise ValueError(f"--split must be one of {names}, got {options.split!r}")
        stores = {options.split: stores[options.split]}
    return {split: store for split, store in stores.items() if len(store)}


def _dataset(
    directories: tuple[str, ...], options: ShowOptions
) -> dict[str, ClipStore]:
    splits = tfds_store.split_names(directories)
    return {
        split: tfds_store.TfdsStore(directories, split, options.fields)
        for split in splits
    }


def _datasets_in(path: epath.Path) -> list[epath.Path]:
    """Return the folders of datasets in a folder of datasets."""
    folders = (each for each in path.iterdir() if each.is_dir())
    return sorted(each for each in folders if tfds_store.find_directories(each))


def _folder(path: epath.Path) -> dict[str, ClipStore]:
    scan = scan_folder(path, "PATH")
    store = measure(scan, scan.clips)
    stores: dict[str, ClipStore] = {}
    splits = split_names([clip.name for clip in scan.clips])
    for split in ("train", "validation"):
        names = set(splits[split])
        chosen = tuple(clip for clip in store.clips if clip.stored.name in names)
        stores[split] = FolderStore(chosen)
    return stores
