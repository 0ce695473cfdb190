# SPDX-License-Identifier: Apache-2.0
#
# QAICKIT_THIRD_PARTY_LICENSES lists the licence files of what is compiled into
# the library; each recipe adds its own.

# The sdists carry no licence files, so the texts are kept here, each naming the
# pinned version in its first line. Fails if that line is not the expected one.
macro(qaickit_add_license file first_line)
  _qaickit_check_license("${file}" "${first_line}" _qaickit_license)
  list(APPEND QAICKIT_THIRD_PARTY_LICENSES "${_qaickit_license}")
  unset(_qaickit_license)
endmacro()

function(_qaickit_check_license file first_line out)
  set(path "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/licenses/${file}")
  file(STRINGS "${path}" actual LIMIT_COUNT 1)
  if(NOT actual STREQUAL first_line)
    message(FATAL_ERROR "${path} is about '${actual}', but '${first_line}' is pinned in "
                        "third_party/versions.cmake. Check the licence and update the file.")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
  set(${out} "${path}" PARENT_SCOPE)
endfunction()
