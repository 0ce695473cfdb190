// Stands beside the fake ONNX Runtime as the provider's library does, and needs the CUDA runtime by
// the name that it has in releases: programs look there for which one that is.
extern "C" __attribute__((visibility("default"))) int fakeortProvider() { return 0; }
