"""Reads TensorBoard's event files, by their published form."""

from tensorboardX.proto import event_pb2


def events(folder):
    """The events of all files of a folder, file by file."""
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):  # length of 8 bytes, checksum of 4, the record, checksum of 4
            length = int.from_bytes(data[at : at + 8], "little")
            yield event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length


def event_values(folder):
    """`(step, value)` of everything that they show."""
    return [(event.step, value) for event in events(folder) for value in event.summary.value]
