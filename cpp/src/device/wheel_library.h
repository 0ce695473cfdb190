#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qaickit {

// Paths at which to try a shared library that comes in a Python wheel, best first:
//  - the environment variable `override_variable`, alone, when it is set;
//  - files `name` or `name.<version>` in `package_dir` ("onnxruntime/capi") below each directory of
//    add_package_dir(), below the site-packages that holds this library, and below those of the
//    active virtual environment; the newest version first;
//  - `loader_names`, as the dynamic loader finds them.
std::vector<std::string> wheel_library_candidates(const char* override_variable,
                                                  std::string_view package_dir,
                                                  std::string_view name,
                                                  std::vector<std::string> loader_names);

// Directories that hold Python packages, best first: those of add_package_dir() and the others
// named above. Not all of them need exist.
std::vector<std::string> python_package_dirs();

// What add_package_dir() was given so far.
std::vector<std::string> added_package_dirs();

}  // namespace qaickit
