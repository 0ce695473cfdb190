# SPDX-License-Identifier: Apache-2.0
#
# Third-party sources, fetched by package name through pip when configuring,
# pinned by version and sha256, and kept in a cache that all build directories
# of a user share:
#
#   <cache>/archives/<key>.tar.gz   what pip downloaded
#   <cache>/src/<key>/              the same unpacked; never written to again
#   <cache>/built/<key>/            installed prefixes (see protobuf.cmake)
#   <cache>/{src,built}/<key>.tree  hash over the directory's files
#   <cache>/locks, <cache>/tmp      a lock and a scratch directory per key
#
# A directory only gets its name once complete, and is used only if its files
# still match the .tree hash, so any part of the cache may be deleted at any
# time when no configure is running.
include_guard(GLOBAL)

function(_qaickit_deps_cache out)
  if(NOT QAICKIT_DEPS_CACHE)
    if(NOT "$ENV{QAICKIT_DEPS_CACHE}" STREQUAL "")
      set(dir "$ENV{QAICKIT_DEPS_CACHE}")
    elseif(IS_ABSOLUTE "$ENV{XDG_CACHE_HOME}")
      set(dir "$ENV{XDG_CACHE_HOME}/qaickit")
    elseif(NOT "$ENV{HOME}" STREQUAL "")
      set(dir "$ENV{HOME}/.cache/qaickit")
    else()
      set(dir "${CMAKE_BINARY_DIR}/deps-cache")
    endif()
    # Replaces an empty cache entry too, which a plain set(CACHE) would keep.
    set(QAICKIT_DEPS_CACHE "${dir}" CACHE PATH "Where fetched third-party sources are kept" FORCE)
  endif()
  get_filename_component(dir "${QAICKIT_DEPS_CACHE}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

function(_qaickit_make_cache_dirs cache)
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${cache}/archives" "${cache}/src" "${cache}/built"
            "${cache}/locks" "${cache}/tmp"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "Cannot create the dependency cache in ${cache}:\n${output}\n"
                        "Point QAICKIT_DEPS_CACHE (-D or environment) at a writable directory.")
  endif()
endfunction()

# A hash over names and contents of all files below dir; empty if there are none.
function(_qaickit_tree_hash dir out)
  file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE "${dir}" "${dir}/*")
  list(SORT files)
  set(all "")
  foreach(file IN LISTS files)
    file(SHA256 "${dir}/${file}" sum)
    string(APPEND all "${sum} ${file}\n")
  endforeach()
  if(NOT all STREQUAL "")
    string(SHA256 all "${all}")
  endif()
  set(${out} "${all}" PARENT_SCOPE)
endfunction()

function(_qaickit_tree_is_intact dir out)
  set(${out} FALSE PARENT_SCOPE)
  if(IS_DIRECTORY "${dir}" AND EXISTS "${dir}.tree")
    file(READ "${dir}.tree" expected)
    _qaickit_tree_hash("${dir}" actual)
    if(NOT actual STREQUAL "" AND actual STREQUAL expected)
      set(${out} TRUE PARENT_SCOPE)
    endif()
  endif()
endfunction()

# Gives the finished directory `from` its final name. The caller holds the lock.
function(_qaickit_tree_publish from dir)
  file(REMOVE_RECURSE "${dir}" "${dir}.tree")
  _qaickit_tree_hash("${from}" sum)
  file(RENAME "${from}" "${dir}")
  file(WRITE "${dir}.tree.tmp" "${sum}")
  file(RENAME "${dir}.tree.tmp" "${dir}.tree")
endfunction()

# The directory named by an override variable (-D, else environment) or "".
function(_qaickit_override_dir var probe out)
  if(NOT "${${var}}" STREQUAL "")
    set(dir "${${var}}")
    set(origin "-D${var}")
  else()
    set(dir "$ENV{${var}}")
    set(origin "environment variable ${var}")
  endif()
  if(NOT dir STREQUAL "")
    get_filename_component(dir "${dir}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
    if(NOT IS_DIRECTORY "${dir}")
      message(FATAL_ERROR "${origin} names '${dir}', which is not a directory.\n"
                          "Give the path of the unpacked source, or unset it to fetch the source.")
    endif()
    set(found FALSE)
    foreach(file IN LISTS probe)
      if(EXISTS "${dir}/${file}")
        set(found TRUE)
      endif()
    endforeach()
    if(NOT found)
      list(JOIN probe "' or '" wanted)
      message(FATAL_ERROR "${origin} names '${dir}', which is not the expected source: "
                          "'${wanted}' is missing from it.\n"
                          "Give the directory that the archive unpacks to, not one above or "
                          "below it, or unset it to fetch the source.")
    endif()
  endif()
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

function(_qaickit_python out)
  foreach(var IN ITEMS Python_EXECUTABLE Python3_EXECUTABLE PYTHON_EXECUTABLE)
    if(${var} AND EXISTS "${${var}}")
      set(${out} "${${var}}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  find_package(Python COMPONENTS Interpreter QUIET)
  if(NOT Python_EXECUTABLE)
    message(FATAL_ERROR "No Python interpreter found; pass -DPython_EXECUTABLE=<python>.")
  endif()
  set(${out} "${Python_EXECUTABLE}" PARENT_SCOPE)
endfunction()

# Finds a Python that can run pip. A build environment made by a frontend may
# have none of its own, or hide the one it has through PYTHONPATH.
function(_qaickit_python_with_pip scratch out)
  _qaickit_python(python)
  set(candidates "${python}")
  execute_process(
    COMMAND "${python}" -c "import sys; print(getattr(sys, '_base_executable', '') or '')"
    OUTPUT_VARIABLE base
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(APPEND candidates ${base})
  foreach(name IN ITEMS python3 python)
    find_program(on_path ${name} NO_CACHE)
    if(on_path)
      list(APPEND candidates "${on_path}")
    endif()
    unset(on_path)
  endforeach()
  list(REMOVE_DUPLICATES candidates)

  set(clean_env "${CMAKE_COMMAND}" -E env --unset=PYTHONPATH)
  set(tried "")
  foreach(make_venv IN ITEMS FALSE TRUE)
    foreach(candidate IN LISTS candidates)
      set(runner "${candidate}")
      if(make_venv)
        file(REMOVE_RECURSE "${scratch}/venv")
        execute_process(
          COMMAND ${clean_env} "${candidate}" -m venv "${scratch}/venv"
          OUTPUT_QUIET ERROR_QUIET)
        set(runner "${scratch}/venv/bin/python")
        string(APPEND tried "  ${candidate} -m venv\n")
      else()
        string(APPEND tried "  ${candidate} -m pip\n")
      endif()
      execute_process(
        COMMAND ${clean_env} "${runner}" -m pip --version
        WORKING_DIRECTORY "${scratch}"
        RESULT_VARIABLE result
        OUTPUT_VARIABLE version
        ERROR_QUIET)
      if(result EQUAL 0 AND version MATCHES "^pip ([0-9.]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 21)
        set(${out} "${runner}" PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
  set(${out} "" PARENT_SCOPE)
  set(${out}_TRIED "${tried}" PARENT_SCOPE)
endfunction()

# Downloads into `scratch`; sets out to the archive, or fails with what to do.
function(_qaickit_pip_download scratch name version sha256 hint out)
  file(MAKE_DIRECTORY "${scratch}/backend/setuptools" "${scratch}/download")
  _qaickit_python_with_pip("${scratch}" python)
  if(NOT python)
    message(FATAL_ERROR "${name} ${version} is fetched with pip (21 or later), and none works. "
                        "Tried:\n${python_TRIED}${hint}")
  endif()
  file(WRITE "${scratch}/backend/setuptools/__init__.py" "")
  configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/sdist_metadata.py"
                 "${scratch}/backend/setuptools/build_meta.py" COPYONLY)
  file(WRITE "${scratch}/requirements.txt" "${name}==${version} --hash=sha256:${sha256}\n")

  set(command "${python}" -m pip download --no-deps --no-binary :all: --no-build-isolation
              --require-hashes --dest "${scratch}/download" -r "${scratch}/requirements.txt")
  # Settings meant for the package that is being built must not reach this pip;
  # those saying where packages come from (index, find-links, proxy, ...) must.
  set(env "")
  foreach(var IN ITEMS CONSTRAINT BUILD_CONSTRAINT REQUIREMENT ONLY_BINARY PYTHON PLATFORM
                       PYTHON_VERSION IMPLEMENTATION ABI PRE DRY_RUN)
    list(APPEND env "--unset=PIP_${var}")
  endforeach()
  list(APPEND env "PYTHONPATH=${scratch}/backend" PYTHONDONTWRITEBYTECODE=1
       SETUPTOOLS_USE_DISTUTILS=stdlib PIP_USE_PEP517=1 PIP_IGNORE_REQUIRES_PYTHON=1
       PIP_REQUIRE_VIRTUALENV=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1)
  message(STATUS "Fetching ${name} ${version} with pip (${python})")
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env ${env} ${command}
    WORKING_DIRECTORY "${scratch}"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
    TIMEOUT 900)
  # message() refills lines unless they are indented.
  list(JOIN command " " shown)
  set(shown "  ${shown}\nwith requirement\n  ${name}==${version} --hash=sha256:${sha256}")
  string(STRIP "${output}" output)
  string(REPLACE "\n" "\n  " output "  ${output}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "Could not fetch ${name} ${version} (${result}). Tried:\n${shown}\n"
                        "pip said:\n${output}\n${hint}")
  endif()
  file(GLOB archives "${scratch}/download/*.tar.gz")
  list(LENGTH archives count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "Fetching ${name} ${version} gave ${count} archives, not one. "
                        "Tried:\n${shown}\npip said:\n${output}\n${hint}")
  endif()
  file(SHA256 "${archives}" actual)
  if(NOT actual STREQUAL sha256)
    message(FATAL_ERROR "The archive of ${name} ${version} has sha256\n  ${actual}\nbut\n"
                        "  ${sha256}\nis pinned in third_party/versions.cmake. It is not used.\n${hint}")
  endif()
  set(${out} "${archives}" PARENT_SCOPE)
endfunction()

# qaickit_fetch_sdist(<out_dir_var> NAME <package> VERSION <v> SHA256 <hex>
#                     [OVERRIDE_VAR <var>] [PROBE <file>...])
#
# Sets <out_dir_var> to the unpacked sdist. That directory is shared between
# builds: read from it, write elsewhere. If OVERRIDE_VAR is set, as a variable
# or in the environment, the directory it names is used as is, and neither
# network nor cache is touched. PROBE names files of which one has to be there.
function(qaickit_fetch_sdist out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME;VERSION;SHA256;OVERRIDE_VAR" "PROBE")
  foreach(required IN ITEMS NAME VERSION SHA256)
    if(NOT arg_${required})
      message(FATAL_ERROR "qaickit_fetch_sdist: ${required} is missing")
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "qaickit_fetch_sdist: unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  string(TOLOWER "${arg_SHA256}" arg_SHA256)
  if(NOT arg_PROBE)
    set(arg_PROBE PKG-INFO)
  endif()

  set(hint "If this machine has no network, see third_party/README.md.")
  if(arg_OVERRIDE_VAR)
    _qaickit_override_dir(${arg_OVERRIDE_VAR} "${arg_PROBE}" override)
    if(override)
      message(STATUS "Using ${arg_NAME} from ${override} (${arg_OVERRIDE_VAR})")
      set(${out} "${override}" PARENT_SCOPE)
      return()
    endif()
    string(CONCAT hint
             "To build without a network, unpack that sdist yourself and set ${arg_OVERRIDE_VAR} "
             "(-D or environment) to the directory; see third_party/README.md.")
  endif()

  _qaickit_deps_cache(cache)
  string(SUBSTRING "${arg_SHA256}" 0 16 short)
  set(key "${arg_NAME}-${arg_VERSION}-${short}")
  set(dir "${cache}/src/${key}")
  set(${out} "${dir}" PARENT_SCOPE)

  # Before taking the lock, so that a cache filled beforehand may be read-only.
  _qaickit_tree_is_intact("${dir}" intact)
  if(intact)
    return()
  endif()

  _qaickit_make_cache_dirs("${cache}")
  file(LOCK "${cache}/locks/${key}" GUARD FUNCTION RESULT_VARIABLE locked TIMEOUT 1800)
  if(NOT locked EQUAL 0)
    message(FATAL_ERROR "Cannot lock ${cache}/locks/${key}: ${locked}\n"
                        "Point QAICKIT_DEPS_CACHE (-D or environment) at a writable local directory.")
  endif()
  _qaickit_tree_is_intact("${dir}" intact)
  if(intact)
    return()
  endif()
  if(EXISTS "${dir}")
    message(STATUS "${dir} is damaged; unpacking it again")
  endif()

  set(scratch "${cache}/tmp/${key}")
  file(REMOVE_RECURSE "${scratch}")
  file(MAKE_DIRECTORY "${scratch}")
  set(archive "${cache}/archives/${key}.tar.gz")
  set(actual "")
  if(EXISTS "${archive}")
    file(SHA256 "${archive}" actual)
  endif()
  if(NOT actual STREQUAL arg_SHA256)
    _qaickit_pip_download("${scratch}" "${arg_NAME}" "${arg_VERSION}" "${arg_SHA256}" "${hint}" downloaded)
    file(RENAME "${downloaded}" "${archive}")
  endif()
  file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${scratch}/unpacked")
  file(GLOB top "${scratch}/unpacked/*")
  list(LENGTH top count)
  if(NOT count EQUAL 1 OR NOT IS_DIRECTORY "${top}")
    message(FATAL_ERROR "${archive} does not unpack to a single directory, so it is no sdist")
  endif()
  _qaickit_tree_publish("${top}" "${dir}")
  file(REMOVE_RECURSE "${scratch}")
endfunction()
