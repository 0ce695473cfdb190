// Stands in for an ONNX Runtime that is too old to use.
namespace {
struct ApiBase {
  const void* (*get_api)(unsigned);
  const char* (*get_version)();
};
}  // namespace

extern "C" __attribute__((visibility("default"))) const ApiBase* OrtGetApiBase() {
  static const ApiBase base{[](unsigned) -> const void* { return nullptr; },
                            [] { return "1.10.0"; }};
  return &base;
}
