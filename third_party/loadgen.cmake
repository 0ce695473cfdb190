# SPDX-License-Identifier: Apache-2.0
#
# Target qaickit_deps::loadgen: MLPerf LoadGen as a static library, compiled in
# this build so that its sanitizers and optimisation level apply to it as well.
# Include this from the top-level CMakeLists.txt.
include_guard(GLOBAL)
include("${CMAKE_CURRENT_LIST_DIR}/versions.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/fetch.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/licenses.cmake")

# Writes what the sdist's setup.py would write into the source directory.
function(_qaickit_loadgen_generate root gen)
  file(READ "${root}/mlperf.conf" conf)
  string(REPLACE "\\" "\\\\" conf "${conf}")
  string(REPLACE "\"" "\\\"" conf "${conf}")
  string(REPLACE "\n" "\\n\"\n\"" conf "${conf}")
  file(CONFIGURE OUTPUT "${gen}/mlperf_conf.h" CONTENT "const char* mlperf_conf =\n\"@conf@\";\n" @ONLY)

  # The version file says when it was made and lists hashes of the sources. It
  # is made anew only if those have changed: each time would relink everything.
  _qaickit_tree_hash("${root}" sum)
  set(state "${root} ${sum} $ENV{SOURCE_DATE_EPOCH}")
  set(recorded "")
  if(EXISTS "${gen}/version_generated.key")
    file(READ "${gen}/version_generated.key" recorded)
  endif()
  if(EXISTS "${gen}/version_generated.cc" AND recorded STREQUAL state)
    return()
  endif()
  _qaickit_python(python)
  execute_process(
    COMMAND "${python}" -B -W ignore "${root}/version_generator.py" "${gen}/version_generated.cc" "${root}"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output) # git's complaint that an sdist is no repository
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${root}/version_generator.py failed (${result}):\n${output}")
  endif()
  if(NOT "$ENV{SOURCE_DATE_EPOCH}" STREQUAL "")
    file(READ "${gen}/version_generated.cc" text)
    string(TIMESTAMP date "%Y-%m-%dT%H:%M:%S" UTC)
    string(REGEX REPLACE "(BuildDate[A-Za-z]+\\(\\) {\n  static const std::string str = )\"[^\"]*\"" "\\1\"${date}\""
           text "${text}")
    file(WRITE "${gen}/version_generated.cc" "${text}")
  endif()
  file(WRITE "${gen}/version_generated.key" "${state}")
endfunction()

function(_qaickit_add_loadgen)
  qaickit_fetch_sdist(root
    NAME mlcommons-loadgen
    VERSION ${QAICKIT_LOADGEN_VERSION}
    SHA256 ${QAICKIT_LOADGEN_SHA256}
    OVERRIDE_VAR QAICKIT_LOADGEN_SOURCE_DIR
    PROBE loadgen.h)
  file(STRINGS "${root}/VERSION.txt" version LIMIT_COUNT 1)
  if(NOT version VERSION_EQUAL QAICKIT_LOADGEN_VERSION)
    message(WARNING "LoadGen in ${root} is ${version}; qaickit is tested with ${QAICKIT_LOADGEN_VERSION}")
  endif()

  set(gen "${CMAKE_CURRENT_BINARY_DIR}/third_party/loadgen")
  _qaickit_loadgen_generate("${root}" "${gen}")
  # The one source including mlperf_conf.h, compiled from a copy next to the
  # generated one: a quoted include would prefer the header in the sdist.
  configure_file("${root}/test_settings_internal.cc" "${gen}/test_settings_internal.cc" COPYONLY)
  file(GLOB inputs "${root}/*.cc" "${root}/*.h" "${root}/mlperf.conf" "${root}/VERSION.txt")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs})

  find_package(Threads REQUIRED)
  add_library(qaickit_loadgen_lib STATIC
    "${root}/early_stopping.cc"
    "${root}/issue_query_controller.cc"
    "${root}/loadgen.cc"
    "${root}/logging.cc"
    "${root}/results.cc"
    "${root}/utils.cc"
    "${root}/version.cc"
    "${gen}/test_settings_internal.cc"
    "${gen}/version_generated.cc")
  add_library(qaickit_deps::loadgen ALIAS qaickit_loadgen_lib)
  target_include_directories(qaickit_loadgen_lib PRIVATE "${root}")
  target_include_directories(qaickit_loadgen_lib SYSTEM INTERFACE "${root}")
  target_compile_options(qaickit_loadgen_lib PRIVATE -w)
  target_link_libraries(qaickit_loadgen_lib PUBLIC Threads::Threads)
  set_target_properties(qaickit_loadgen_lib PROPERTIES
    CXX_STANDARD 17
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    UNITY_BUILD OFF
    CXX_CLANG_TIDY ""
    CXX_CPPCHECK ""
    CXX_INCLUDE_WHAT_YOU_USE "")
endfunction()

_qaickit_add_loadgen()
qaickit_add_license(mlcommons-loadgen.txt "mlcommons-loadgen ${QAICKIT_LOADGEN_VERSION}")
