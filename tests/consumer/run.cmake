# Installs this build, builds the foreign project against what was installed, and runs it.
#   cmake -DBUILD=<build dir> -DSOURCE=<tests/consumer> -DWORK=<scratch>
#         -DPROTOBUF_INCLUDE=<its headers> -DPROTOBUF_LIBRARY=<its library> -DCXX=<compiler>
#         -P run.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message(STATUS "${output}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix")
run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${WORK}/prefix"
    "-DPROTOBUF_INCLUDE=${PROTOBUF_INCLUDE}" "-DPROTOBUF_LIBRARY=${PROTOBUF_LIBRARY}")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/foreign_harness")
run("${WORK}/build/card_host")

# A prefix is shared with others: no Python modules without their package, and the licences.
file(GLOB tops RELATIVE "${WORK}/prefix" "${WORK}/prefix/*")
if(NOT tops STREQUAL "include;lib;share")
  message(FATAL_ERROR "installed into the prefix: expected include, lib and share, got ${tops}")
endif()
foreach(licence LICENSE mlcommons-loadgen.txt)
  if(NOT EXISTS "${WORK}/prefix/share/doc/qaickit/${licence}")
    message(FATAL_ERROR "${licence} is not installed")
  endif()
endforeach()

# Whose protobuf is another one is told what to do.
set(other "${WORK}/other/google/protobuf/stubs/common.h")
file(WRITE "${other}" "#define GOOGLE_PROTOBUF_VERSION 9099000\n")
file(WRITE "${WORK}/other/host.cc" "#include <QAicApi.pb.h>\n")
execute_process(
  COMMAND "${CXX}" -fsyntax-only "-I${WORK}/other" "-I${WORK}/prefix/include/qaicsim"
          "${WORK}/other/host.cc"
  RESULT_VARIABLE result ERROR_VARIABLE output)
if(result EQUAL 0 OR NOT output MATCHES "Make it for yours: protoc -I")
  message(FATAL_ERROR "no instruction for those with another protobuf: ${output}")
endif()
