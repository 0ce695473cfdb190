#include "dicts.h"

#include <pybind11/stl.h>

#include <string>

#include "errors.h"

namespace qaickit::py_ {
namespace {

py::list to_list(const std::vector<TensorSpec>& specs) {
  py::list list;
  for (const TensorSpec& spec : specs) {
    py::dict tensor;
    tensor["name"] = spec.name;
    tensor["dtype"] = std::string(dtype_name(spec.dtype));
    tensor["dims"] = spec.dims;
    tensor["scale"] = spec.scale;
    tensor["offset"] = spec.offset;
    tensor["bytes"] = spec.bytes();
    tensor["partial"] = spec.partial;
    list.append(tensor);
  }
  return list;
}

py::object item(const py::dict& dict, const char* key) {
  if (!dict.contains(key)) {
    raise_if_error(Status(Code::kInvalidArgument, std::string("missing key '") + key + "'"));
  }
  return dict[key];
}

template <class T>
T item_or(const py::dict& dict, const char* key, T fallback) {
  return dict.contains(key) ? dict[key].cast<T>() : fallback;
}

std::vector<TensorSpec> to_specs(const py::object& list) {
  std::vector<TensorSpec> specs;
  for (py::handle entry : list) {
    const auto tensor = py::cast<py::dict>(entry);
    const auto name = item(tensor, "name").cast<std::string>();
    const auto dtype_text = item(tensor, "dtype").cast<std::string>();
    const auto dtype = dtype_from_name(dtype_text);
    if (!dtype) {
      raise_if_error(
          Status(Code::kInvalidArgument, "'" + name + "': unknown dtype '" + dtype_text + "'"));
    }
    specs.push_back({name, *dtype, item(tensor, "dims").cast<std::vector<int64_t>>(),
                     item_or(tensor, "scale", 1.0f), item_or(tensor, "offset", 0),
                     item_or(tensor, "partial", false)});
  }
  return specs;
}

}  // namespace

py::dict to_dict(const ProgramSpec& program) {
  py::dict dict;
  dict["name"] = program.name;
  dict["num_cores"] = program.num_cores;
  dict["batch_size"] = program.batch_size;
  dict["inputs"] = to_list(program.inputs);
  dict["outputs"] = to_list(program.outputs);
  dict["allowed_shapes"] = program.allowed_shapes;
  return dict;
}

py::object to_dict(const std::optional<HostManifest>& manifest) {
  if (!manifest) return py::none();
  py::dict dict;
  dict["format_version"] = manifest->format_version;
  dict["producer"] = manifest->producer;
  dict["precision"] = manifest->precision;
  dict["options"] = manifest->options;
  dict["random_weights"] = manifest->random_weights;
  dict["node_precision"] = manifest->node_precision;
  dict["calibration"] = manifest->calibration;
  return dict;
}

py::dict to_dict(const DeviceInfo& info) {
  py::dict dict;
  dict["backend"] = info.backend;
  dict["id"] = info.id;
  dict["name"] = info.name;
  dict["simulated"] = info.simulated;
  return dict;
}

py::dict to_dict(const BatchStats& stats) {
  py::dict dict;
  dict["samples_ok"] = stats.samples_ok;
  dict["samples_failed"] = stats.samples_failed;
  dict["batches"] = stats.batches;
  dict["caller_batches"] = stats.caller_batches;
  dict["batch_sizes"] = stats.batch_sizes;
  dict["activation_batches"] = stats.activation_batches;
  dict["lost_activations"] = stats.lost_activations;
  return dict;
}

// The vendor's names.
py::dict to_dict(const RunMetrics& metrics) {
  py::dict dict;
  dict["num_of_inferences"] = metrics.runs;
  dict["min_latency"] = metrics.min;
  dict["max_latency"] = metrics.max;
  dict["P25"] = metrics.p25;
  dict["P50"] = metrics.p50;
  dict["P75"] = metrics.p75;
  dict["P90"] = metrics.p90;
  dict["P99"] = metrics.p99;
  dict["P999"] = metrics.p999;
  dict["total_inference_time"] = metrics.total;
  dict["avg_latency"] = metrics.average;
  return dict;
}

py::dict to_dict(const RunProfile& run) {
  py::dict dict;
  dict["start"] = static_cast<double>(run.start_ns) * 1e-9;
  dict["activation"] = run.activation;
  dict["wait"] = run.wait;
  dict["gather"] = run.gather;
  dict["device"] = run.device;
  dict["scatter"] = run.scatter;
  return dict;
}

ProgramSpec to_program(const py::dict& program) {
  return {item(program, "name").cast<std::string>(),
          to_specs(item(program, "inputs")),
          to_specs(item(program, "outputs")),
          item_or(program, "num_cores", uint32_t{1}),
          item_or(program, "batch_size", int32_t{1}),
          item_or(program, "allowed_shapes", std::vector<ShapeSet>{})};
}

HostManifest to_manifest(const py::dict& manifest) {
  HostManifest result;
  result.producer = item(manifest, "producer").cast<std::string>();
  result.precision = item(manifest, "precision").cast<std::string>();
  result.options = item_or(manifest, "options", std::map<std::string, std::string>{});
  result.random_weights = item_or(manifest, "random_weights", false);
  result.node_precision = item_or(manifest, "node_precision", std::map<std::string, std::string>{});
  result.calibration = item_or(manifest, "calibration", std::map<std::string, std::string>{});
  return result;
}

}  // namespace qaickit::py_
