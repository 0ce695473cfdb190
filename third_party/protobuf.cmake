# SPDX-License-Identifier: Apache-2.0
#
# protobuf's lite runtime and its compiler: those of the system if they work,
# else built once per compiler, when configuring, into the dependency cache.
#
#   qaickit_deps::protobuf_lite   library to link
#   qaickit_deps::protoc          the compiler; its path is QAICKIT_PROTOC too
#   qaickit_protobuf_generate()   below
#
# Include this from the top-level CMakeLists.txt.
include_guard(GLOBAL)
include("${CMAKE_CURRENT_LIST_DIR}/versions.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/fetch.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/licenses.cmake")

option(QAICKIT_BUNDLED_PROTOBUF "Build the pinned protobuf even if the system has one" OFF)

# Generates, compiles and links a small message, in the way the extension module
# will: finding files says neither that library, headers and compiler belong
# together nor that a static library may go into a shared one.
function(_qaickit_protobuf_works protoc library out)
  set(${out} FALSE PARENT_SCOPE)
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/third_party/protobuf-probe")
  file(REMOVE_RECURSE "${dir}")
  file(MAKE_DIRECTORY "${dir}")
  file(WRITE "${dir}/probe.proto" "syntax = \"proto2\";\npackage probe;\n"
                                  "message Probe { repeated string text = 1; }\n")
  file(WRITE "${dir}/main.cc"
    "#include \"probe.pb.h\"\n"
    "int main(int argc, char** argv) {\n"
    "  probe::Probe message;\n"
    "  message.add_text(argv[0]);\n"
    "  return message.ParseFromString(message.SerializeAsString()) ? 0 : argc;\n"
    "}\n")
  execute_process(
    COMMAND "${protoc}" "--cpp_out=lite:${dir}" "-I${dir}" "${dir}/probe.proto"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(result EQUAL 0)
    set(link_options "")
    if(UNIX)
      set(link_options LINK_OPTIONS -shared)
      set(pic -fPIC)
    endif()
    try_compile(compiled "${dir}/build"
      SOURCES "${dir}/main.cc" "${dir}/probe.pb.cc"
      CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${dir}"
      COMPILE_DEFINITIONS ${pic} -w
      ${link_options}
      LINK_LIBRARIES ${library}
      OUTPUT_VARIABLE output
      CXX_STANDARD 20
      CXX_STANDARD_REQUIRED ON)
    set(${out} ${compiled} PARENT_SCOPE)
    if(compiled)
      return()
    endif()
  endif()
  file(WRITE "${dir}/output.txt" "${output}")
  message(STATUS "The system's protobuf (${protoc}) does not work here; see ${dir}/output.txt")
endfunction()

# Makes the qaickit_deps:: targets of the system's protobuf if that works.
function(_qaickit_system_protobuf)
  # The package's own config knows what newer versions need linked (abseil).
  find_package(Protobuf CONFIG QUIET)
  if(NOT TARGET protobuf::protoc OR NOT TARGET protobuf::libprotobuf)
    find_package(Protobuf MODULE QUIET)
  endif()
  if(TARGET protobuf::libprotobuf-lite)
    set(library protobuf::libprotobuf-lite)
  elseif(TARGET protobuf::libprotobuf)
    set(library protobuf::libprotobuf)
  endif()
  if(NOT library OR NOT TARGET protobuf::protoc)
    message(STATUS "No protobuf with its compiler is installed")
    return()
  endif()
  get_target_property(protoc protobuf::protoc LOCATION)

  set(probed "${protoc};${library};${Protobuf_VERSION};${CMAKE_CXX_FLAGS}")
  if(NOT QAICKIT_PROTOBUF_PROBED STREQUAL probed OR NOT EXISTS "${protoc}")
    _qaickit_protobuf_works("${protoc}" ${library} works)
    set(QAICKIT_PROTOBUF_PROBED "${probed}" CACHE INTERNAL "")
    set(QAICKIT_PROTOBUF_WORKS ${works} CACHE INTERNAL "")
  endif()
  if(QAICKIT_PROTOBUF_WORKS)
    message(STATUS "Using the system's protobuf ${Protobuf_VERSION} (${library}, ${protoc})")
    add_library(qaickit_deps::protobuf_lite INTERFACE IMPORTED GLOBAL)
    target_link_libraries(qaickit_deps::protobuf_lite INTERFACE ${library})
    add_executable(qaickit_deps::protoc IMPORTED GLOBAL)
    set_target_properties(qaickit_deps::protoc PROPERTIES IMPORTED_LOCATION "${protoc}")
  endif()
endfunction()

# Those of the compiler flags that decide whether objects fit together. The
# others (optimisation, warnings, sanitizers) are left out on purpose, so that
# builds differing only in them share one protobuf.
function(_qaickit_abi_flags out)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS}")
  list(FILTER flags INCLUDE REGEX
       "^(-stdlib=|-m32|-m64|-mx32|--sysroot=|--gcc-toolchain=|--target=|-D_GLIBCXX_DEBUG|-D_GLIBCXX_USE_CXX11_ABI|-fsanitize=memory)")
  list(JOIN flags " " flags)
  set(${out} "${flags}" PARENT_SCOPE)
endfunction()

function(_qaickit_protobuf_prefix_works prefix out)
  set(${out} FALSE PARENT_SCOPE)
  _qaickit_tree_is_intact("${prefix}" intact)
  if(intact)
    execute_process(
      COMMAND "${prefix}/bin/protoc" --version
      RESULT_VARIABLE result
      OUTPUT_QUIET ERROR_QUIET)
    if(result EQUAL 0)
      set(${out} TRUE PARENT_SCOPE)
    endif()
  endif()
endfunction()

function(_qaickit_run log what)
  execute_process(
    COMMAND ${ARGN}
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  file(APPEND "${log}" "${output}")
  if(NOT result EQUAL 0)
    string(REPLACE "\n" "\n  " output "  ${output}")
    message(FATAL_ERROR "${what} failed (${result}); the whole output is in ${log}:\n${output}")
  endif()
endfunction()

# Sets out to a prefix with bin/protoc, include and lib/libprotobuf-lite.a.
function(_qaickit_build_protobuf out)
  set(probe third_party/protobuf/src/google/protobuf/stubs/common.h
            src/google/protobuf/stubs/common.h)
  set(recipe "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/protobuf")

  # What the key is made of, in the case of an override the sources themselves.
  _qaickit_override_dir(QAICKIT_PROTOBUF_SOURCE_DIR "${probe}" override)
  if(override)
    message(STATUS "Using protobuf's source from ${override} (QAICKIT_PROTOBUF_SOURCE_DIR)")
    set(version "override")
    _qaickit_protobuf_src("${override}" src)
    _qaickit_tree_hash("${src}" source_id)
  else()
    set(version "${QAICKIT_PROTOBUF_VERSION}")
    set(source_id "${QAICKIT_GRPCIO_TOOLS_SHA256}")
  endif()
  _qaickit_tree_hash("${recipe}" recipe_id)
  _qaickit_abi_flags(abi_flags)
  set(libc "")
  find_program(getconf getconf NO_CACHE)
  if(getconf)
    execute_process(COMMAND "${getconf}" GNU_LIBC_VERSION OUTPUT_VARIABLE libc ERROR_QUIET
                    OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  string(SHA256 id "${source_id};${recipe_id};${CMAKE_SIZEOF_VOID_P};${abi_flags};${libc};${CMAKE_SYSROOT};${CMAKE_CXX_COMPILER_TARGET};${CMAKE_OSX_SYSROOT};${CMAKE_OSX_ARCHITECTURES};${CMAKE_OSX_DEPLOYMENT_TARGET}")
  string(SUBSTRING "${id}" 0 16 id)
  set(key "protobuf-${version}-${CMAKE_CXX_COMPILER_ID}-${CMAKE_CXX_COMPILER_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}-${id}")

  _qaickit_deps_cache(cache)
  set(prefix "${cache}/built/${key}")
  set(${out} "${prefix}" PARENT_SCOPE)
  _qaickit_protobuf_prefix_works("${prefix}" works)
  if(works)
    return()
  endif()

  if(NOT override)
    qaickit_fetch_sdist(root
      NAME grpcio-tools
      VERSION ${QAICKIT_GRPCIO_TOOLS_VERSION}
      SHA256 ${QAICKIT_GRPCIO_TOOLS_SHA256}
      OVERRIDE_VAR QAICKIT_PROTOBUF_SOURCE_DIR
      PROBE ${probe})
    _qaickit_protobuf_src("${root}" src)
  endif()

  _qaickit_make_cache_dirs("${cache}")
  file(LOCK "${cache}/locks/${key}" GUARD FUNCTION RESULT_VARIABLE locked TIMEOUT 3600)
  if(NOT locked EQUAL 0)
    message(FATAL_ERROR "Cannot lock ${cache}/locks/${key}: ${locked}\n"
                        "Point QAICKIT_DEPS_CACHE (-D or environment) at a writable local directory.")
  endif()
  _qaickit_protobuf_prefix_works("${prefix}" works)
  if(works)
    return()
  endif()

  message(STATUS "Building protobuf in ${cache}, once for this compiler; takes a few minutes")
  set(scratch "${cache}/tmp/${key}")
  file(REMOVE_RECURSE "${scratch}")
  set(log "${CMAKE_CURRENT_BINARY_DIR}/third_party/protobuf-build.log")
  file(WRITE "${log}" "")

  # Flags of this build come through CMAKE_CXX_FLAGS or the environment, and
  # apart from the ABI ones belong to the code under test, not to protobuf.
  separate_arguments(linker_flags UNIX_COMMAND "${CMAKE_EXE_LINKER_FLAGS}")
  list(FILTER linker_flags EXCLUDE REGEX "^-fsanitize")
  list(JOIN linker_flags " " linker_flags)
  set(settings "")
  foreach(var IN ITEMS CMAKE_MAKE_PROGRAM CMAKE_TOOLCHAIN_FILE CMAKE_SYSROOT CMAKE_CXX_COMPILER_TARGET
                       CMAKE_CXX_COMPILER_LAUNCHER CMAKE_OSX_SYSROOT CMAKE_OSX_ARCHITECTURES
                       CMAKE_OSX_DEPLOYMENT_TARGET)
    if(${var})
      string(APPEND settings "set(${var} [==[${${var}}]==] CACHE STRING \"\")\n")
    endif()
  endforeach()
  string(APPEND settings
    "set(PROTOBUF_SRC [==[${src}]==] CACHE STRING \"\")\n"
    "set(CMAKE_BUILD_TYPE Release CACHE STRING \"\")\n"
    "set(CMAKE_CXX_FLAGS [==[${abi_flags}]==] CACHE STRING \"\")\n"
    "set(CMAKE_EXE_LINKER_FLAGS [==[${linker_flags}]==] CACHE STRING \"\")\n")
  file(WRITE "${scratch}/settings.cmake" "${settings}")
  set(run "${CMAKE_COMMAND}" -E env --unset=DESTDIR --unset=MAKEFLAGS --unset=MAKELEVEL
          "CXX=${CMAKE_CXX_COMPILER}${CMAKE_CXX_COMPILER_ARG1}" "${CMAKE_COMMAND}")
  set(parallel "")
  if("$ENV{CMAKE_BUILD_PARALLEL_LEVEL}" STREQUAL "")
    cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
    set(parallel --parallel ${cores})
  endif()
  _qaickit_run("${log}" "Configuring protobuf" ${run}
    -C "${scratch}/settings.cmake" -S "${recipe}" -B "${scratch}/build" -G "${CMAKE_GENERATOR}")
  _qaickit_run("${log}" "Building protobuf" ${run}
    --build "${scratch}/build" --config Release ${parallel})
  _qaickit_run("${log}" "Installing protobuf" ${run}
    --install "${scratch}/build" --config Release --prefix "${scratch}/prefix")
  _qaickit_tree_publish("${scratch}/prefix" "${prefix}")
  file(REMOVE_RECURSE "${scratch}")
  _qaickit_protobuf_prefix_works("${prefix}" works)
  if(NOT works)
    message(FATAL_ERROR "${prefix}/bin/protoc was built but does not run on this machine")
  endif()
endfunction()

# The include root below an unpacked grpcio-tools or protobuf source.
function(_qaickit_protobuf_src root out)
  if(IS_DIRECTORY "${root}/third_party/protobuf/src")
    set(src "${root}/third_party/protobuf/src")
  else()
    set(src "${root}/src")
  endif()
  file(STRINGS "${src}/google/protobuf/stubs/common.h" line REGEX "define GOOGLE_PROTOBUF_VERSION [0-9]+")
  if(NOT line MATCHES " 3021[0-9][0-9][0-9]$")
    message(FATAL_ERROR "${src} holds another protobuf than 3.21.x, the one that "
                        "third_party/protobuf can build (common.h says '${line}').")
  endif()
  set(${out} "${src}" PARENT_SCOPE)
endfunction()

function(_qaickit_bundled_protobuf)
  find_package(Threads REQUIRED)
  _qaickit_build_protobuf(prefix)
  message(STATUS "Using protobuf from ${prefix}")
  add_library(qaickit_deps::protobuf_lite STATIC IMPORTED GLOBAL)
  set_target_properties(qaickit_deps::protobuf_lite PROPERTIES
    IMPORTED_LOCATION "${prefix}/lib/${CMAKE_STATIC_LIBRARY_PREFIX}protobuf-lite${CMAKE_STATIC_LIBRARY_SUFFIX}"
    INTERFACE_INCLUDE_DIRECTORIES "${prefix}/include"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
  add_executable(qaickit_deps::protoc IMPORTED GLOBAL)
  set_target_properties(qaickit_deps::protoc PROPERTIES
    IMPORTED_LOCATION "${prefix}/bin/protoc${CMAKE_EXECUTABLE_SUFFIX}")
endfunction()

# qaickit_protobuf_generate(<out_srcs_var> PROTOS <file>... [IMPORT_DIRS <dir>...]
#                           [OUT_DIR <dir>])
#
# Adds the commands that make X.pb.cc and X.pb.h from each X.proto, for the lite
# runtime whatever the file's own option says. Sets <out_srcs_var> to all these
# files, for add_library() in the same directory, and <out_srcs_var>_INCLUDE_DIR
# to the directory to add, as SYSTEM, to include the headers from. An X.proto
# lies in one of IMPORT_DIRS, which by default are the directories of PROTOS.
function(qaickit_protobuf_generate out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUT_DIR" "PROTOS;IMPORT_DIRS")
  if(NOT arg_PROTOS OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "qaickit_protobuf_generate(<out_srcs_var> PROTOS <file>... "
                        "[IMPORT_DIRS <dir>...] [OUT_DIR <dir>])")
  endif()
  if(NOT arg_OUT_DIR)
    set(arg_OUT_DIR "${CMAKE_CURRENT_BINARY_DIR}/${out}")
  endif()
  get_filename_component(arg_OUT_DIR "${arg_OUT_DIR}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
  file(MAKE_DIRECTORY "${arg_OUT_DIR}")

  set(protos "")
  set(dirs "")
  foreach(proto IN LISTS arg_PROTOS)
    get_filename_component(proto "${proto}" ABSOLUTE)
    get_filename_component(dir "${proto}" DIRECTORY)
    list(APPEND protos "${proto}")
    list(APPEND dirs "${dir}")
  endforeach()
  if(arg_IMPORT_DIRS)
    set(dirs "")
    foreach(dir IN LISTS arg_IMPORT_DIRS)
      get_filename_component(dir "${dir}" ABSOLUTE)
      list(APPEND dirs "${dir}")
    endforeach()
  endif()
  list(REMOVE_DUPLICATES dirs)
  list(TRANSFORM dirs PREPEND "-I" OUTPUT_VARIABLE import_flags)

  get_target_property(protoc qaickit_deps::protoc IMPORTED_LOCATION)
  set(generated "")
  foreach(proto IN LISTS protos)
    set(name "")
    foreach(dir IN LISTS dirs)
      string(FIND "${proto}" "${dir}/" at)
      if(at EQUAL 0 AND name STREQUAL "")
        file(RELATIVE_PATH name "${dir}" "${proto}")
      endif()
    endforeach()
    if(name STREQUAL "")
      message(FATAL_ERROR "qaickit_protobuf_generate: ${proto} lies in none of IMPORT_DIRS")
    endif()
    string(REGEX REPLACE "\\.proto$" "" stem "${name}")
    set(files "${arg_OUT_DIR}/${stem}.pb.cc" "${arg_OUT_DIR}/${stem}.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND qaickit_deps::protoc "--cpp_out=lite:${arg_OUT_DIR}" ${import_flags} "${proto}"
      DEPENDS "${proto}" "${protoc}"
      COMMENT "Generating ${stem}.pb.cc"
      VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  set_source_files_properties(${generated} PROPERTIES
    COMPILE_OPTIONS -w SKIP_UNITY_BUILD_INCLUSION ON SKIP_LINTING ON)
  set(${out} "${generated}" PARENT_SCOPE)
  set(${out}_INCLUDE_DIR "${arg_OUT_DIR}" PARENT_SCOPE)
endfunction()

# Someone naming sources wants those built.
if(NOT QAICKIT_BUNDLED_PROTOBUF AND "${QAICKIT_PROTOBUF_SOURCE_DIR}$ENV{QAICKIT_PROTOBUF_SOURCE_DIR}" STREQUAL "")
  _qaickit_system_protobuf()
endif()
if(NOT TARGET qaickit_deps::protobuf_lite)
  _qaickit_bundled_protobuf()
endif()
get_target_property(QAICKIT_PROTOC qaickit_deps::protoc IMPORTED_LOCATION)
qaickit_add_license(protobuf.txt "protobuf ${QAICKIT_PROTOBUF_VERSION}")
