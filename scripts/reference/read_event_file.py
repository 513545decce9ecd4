"""Reads event files with the real TensorBoard package and prints what it understood, as JSON.

Usage: python read_event_file.py LOGDIR

LOGDIR is searched as TensorBoard searches it: every folder below it that holds event files is a run,
named by its path relative to LOGDIR ("." for LOGDIR itself). Printed are

    {"runs": {run: {"scalars":    {tag: [[step, value], ...]},
                    "histograms": {tag: [{"step", "min", "max", "num", "sum", "sum_squares", "counts"}, ...]},
                    "images":     {tag: [{"step", "width", "height", "mode", "pixel_sum"}, ...]},
                    "texts":      {tag: [[step, text], ...]}}},
     "hparams": {"hyperparameters": {name: {"type", "values"}}, "metrics": [tag, ...],
                 "sessions": {run: {"status", "hyperparameters": {name: value}, "metrics": {tag: value}}}}}

where `hparams` is what the HPARAMS tab shows for LOGDIR. NaN and infinities are printed as strings.
Needs: tensorboard, pillow.
"""

import io
import json
import math
import os
import sys

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups
from tensorboard.util import tensor_util

EVERYTHING = {kind: 0 for kind in event_accumulator.DEFAULT_SIZE_GUIDANCE}


def number(value):
    return value if math.isfinite(value) else str(value)


def image(event):
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    picture.load()
    assert picture.size == (event.width, event.height), "the PNG has another size than its message says"
    pixels = np.asarray(picture, dtype=np.int64)
    return {"step": event.step, "width": event.width, "height": event.height, "mode": picture.mode, "pixel_sum": int(pixels.sum())}


def histogram(event):
    value = event.histogram_value
    return {
        "step": event.step,
        "min": value.min,
        "max": value.max,
        "num": value.num,
        "sum": value.sum,
        "sum_squares": value.sum_squares,
        "counts": [count for count in value.bucket if count > 0],
    }


def read_run(folder):
    run = event_accumulator.EventAccumulator(folder, size_guidance=EVERYTHING)
    run.Reload()
    tags = run.Tags()
    texts = {}
    for tag in run.PluginTagToContent("text") if "text" in plugins(run) else []:
        texts[tag] = [[event.step, tensor_util.make_ndarray(event.tensor_proto).item().decode()] for event in run.Tensors(tag)]
    return {
        "scalars": {tag: [[event.step, number(event.value)] for event in run.Scalars(tag)] for tag in tags["scalars"]},
        "histograms": {tag: [histogram(event) for event in run.Histograms(tag)] for tag in tags["histograms"]},
        "images": {tag: [image(event) for event in run.Images(tag)] for tag in tags["images"]},
        "texts": texts,
    }


def plugins(run):
    return {run.SummaryMetadata(tag).plugin_data.plugin_name for tag in run.Tags()["tensors"]}


def value_of(proto):
    return getattr(proto, proto.WhichOneof("kind"))


def read_hparams(logdir):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, logdir)
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    every_status = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=every_status, start_index=0, slice_size=10000)
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    sessions = {}
    for group in groups:
        for session in group.sessions:
            sessions[session.name] = {
                "status": api_pb2.Status.Name(session.status),
                "hyperparameters": {name: value_of(value) for name, value in sorted(group.hparams.items())},
                "metrics": {metric.name.tag: number(metric.value) for metric in session.metric_values},
            }
    return {
        "hyperparameters": {
            info.name: {"type": api_pb2.DataType.Name(info.type), "values": [value_of(value) for value in info.domain_discrete.values]}
            for info in experiment.hparam_infos
        },
        "metrics": [info.name.tag for info in experiment.metric_infos],
        "sessions": sessions,
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    logdir = sys.argv[1]
    runs = {}
    for folder, _, names in sorted(os.walk(logdir)):
        if any("tfevents" in name for name in names):
            runs[os.path.relpath(folder, logdir)] = read_run(folder)
    json.dump({"runs": runs, "hparams": read_hparams(logdir)}, sys.stdout, indent=1, sort_keys=True, allow_nan=False)


if __name__ == "__main__":
    main()
