#pragma once

#include <span>
#include <string_view>

// Docstrings of the compiled modules. They are written in the modules' stubs, from which the build
// makes tables (tools/stub_docs.py), so that help() and the type checker's text are one.
namespace qaickit {

struct DocEntry {
  std::string_view name;
  const char* text;
};

consteval const char* find_doc(std::span<const DocEntry> docs, std::string_view name) {
  for (const DocEntry& entry : docs) {
    if (entry.name == name) return entry.text;
  }
  throw "the stub has no docstring for this name";
}

}  // namespace qaickit
