"""What a run told TensorBoard."""

import struct

from tensorboardX.proto.event_pb2 import Event


def scalars(workdir, tag="train/loss"):
    """A scalar of each step, as TensorBoard was told, whenever it was told."""
    found = {}
    for file in sorted((workdir / "tensorboard").iterdir()):
        content, start = file.read_bytes(), 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            # A record is its length, a checksum, an event, and a checksum.
            event = Event.FromString(content[start + 12 : start + 12 + length])
            start += length + 16
            for value in event.summary.value:
                if value.tag == tag:
                    found.setdefault(event.step, []).append(value.simple_value)
    return found
