# QAicApi.pb.h for people: what the protocol compiler made, behind a check that says what to do where
# their protobuf is another one.
#   cmake -DIN=<generated> -DOUT=<installed> -P installed_header.cmake
file(READ "${IN}" text)
if(NOT text MATCHES "PROTOBUF_VERSION (<|!=) ([0-9]+)")
  message(FATAL_ERROR "${IN} does not say which protobuf it is for")
endif()
math(EXPR series "${CMAKE_MATCH_2} / 1000")  # 3021 is 3.21
math(EXPR major "${series} / 1000")
math(EXPR minor "${series} % 1000")
file(WRITE "${OUT}" "\
/* Needs the headers and the (lite) library of protobuf ${major}.${minor}.x, and QAicApi.pb.cc compiled. */
#if defined(__has_include)
#if !__has_include(<google/protobuf/stubs/common.h>)
#error \"QAicApi.pb.h needs the headers of protobuf ${major}.${minor}, or see the next message.\"
#endif
#endif
#include <google/protobuf/stubs/common.h>
#if GOOGLE_PROTOBUF_VERSION / 1000 != ${series}
#error \"QAicApi.pb.h is made for protobuf ${major}.${minor}. Make it for yours: protoc -I <folder of this file> \\
--cpp_out=<folder of your own> QAicApi.proto; then put that folder first and compile its QAicApi.pb.cc.\"
#endif
${text}")
