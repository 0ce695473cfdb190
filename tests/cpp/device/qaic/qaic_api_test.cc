#include "device/qaic/qaic_api.h"

#include <gtest/gtest.h>

#include "device/qaic/qaic_status.h"
#include "qaickit/device.h"
#include "qaickit/qaic.h"
#include "support/environment.h"
#include "support/programs.h"
#include "support/result.h"

namespace qaickit::qaic {
namespace {

using test::Environment;
using test::is_error;
using test::value_of;

// Before any test that loads the simulator, where they share a process.
TEST(QaicApi, WithoutLibraryItSaysWhatWasTriedAndWhatToDo) {
  const Environment lib("QAIC_LIB", "/nonexistent/libQAic.so");
  EXPECT_EQ(library_candidates(), std::vector<std::string>{"/nonexistent/libQAic.so"});
  EXPECT_TRUE(is_error(load_api().status(), Code::kUnavailable, "/nonexistent/libQAic.so",
                       "QAIC_LIB", "qaickit.util --sim-path"));
  SessionOptions options;
  options.backend = "qaic";
  EXPECT_TRUE(is_error(Session::open(test::make_qpc(test::echo_program()), options).status(),
                       Code::kUnavailable, "/nonexistent/libQAic.so"));
  EXPECT_TRUE(is_error(qaic_device_ids().status(), Code::kUnavailable));
  const Backend& backend = *value_of(find_backend("qaic"));
  EXPECT_TRUE(backend.details().empty());
}

TEST(QaicApi, LooksWhereTheSdkPutsIt) {
  const Environment lib("QAIC_LIB", nullptr);
  const auto candidates = library_candidates();
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_TRUE(candidates[0].starts_with("/opt/qti-aic/dev/lib/"));
  EXPECT_TRUE(candidates[0].ends_with("/libQAic.so"));
  EXPECT_EQ(candidates[1], "libQAic.so");
}

TEST(QaicApi, AnOldLibraryIsRefusedWithItsVersion) {
  const Environment lib("QAIC_LIB", QAIC_STUB_OLD);
  EXPECT_TRUE(is_error(load_api().status(), Code::kUnavailable, QAIC_STUB_OLD, "version 1.6",
                       "10.0", "qaicCreateProgram"));
}

TEST(QaicApi, MissingSymbolsAreNamed) {
  const Environment lib("QAIC_LIB", QAIC_STUB_LACKING);
  EXPECT_TRUE(is_error(load_api().status(), Code::kUnavailable, QAIC_STUB_LACKING, "version 10.6",
                       "lacks", "qaicGetDeviceInfo", "qaicEnqueueExecObj"));
}

// Whether a QPC will do is the library's to say; why it did not is ours.
TEST(QaicApi, ACardThatRefusesAQpcWithoutCardHalf) {
  const Environment lib("QAIC_LIB", QAIC_STUB_CARD);
  SessionOptions options;
  options.backend = "qaic";
  EXPECT_TRUE(is_error(Session::open(test::make_qpc(test::echo_program()), options).status(),
                       Code::kUnsupported, "qaic:0", "no card half", "compile it", "qaicOpenQpc"));
  const auto devices = value_of(value_of(find_backend("qaic"))->enumerate());
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_FALSE(devices[0].simulated);
  EXPECT_EQ(value_of(default_backend())->name, "qaic");
}

TEST(QaicApi, EverySymbolResolvesAgainstTheSimulator) {
  const Environment lib("QAIC_LIB", QAIC_SIM_LIBRARY);
  const Api& api = *value_of(load_api());
  EXPECT_TRUE(api.simulated);
  EXPECT_EQ(api.major, LRT_LIB_MAJOR_VERSION);
  EXPECT_EQ(api.path, QAIC_SIM_LIBRARY);
}

TEST(QaicStatus, EveryValueHasACodeAndAMeaning) {
  const QStatus all[] = {QS_PERM,        QS_AGAIN,          QS_NOMEM,     QS_BUSY,     QS_NODEV,
                         QS_INVAL,       QS_NOSPC,          QS_BADFD,     QS_TIMEDOUT, QS_PROTOCOL,
                         QS_UNSUPPORTED, QS_DATA_CRC_ERROR, QS_DEV_ERROR, QS_ERROR};
  for (const QStatus status : all) {
    EXPECT_EQ(meaning_of(status).status, status);
    EXPECT_NE(meaning_of(status).code, Code::kOk) << status;
    EXPECT_FALSE(meaning_of(status).meaning.empty()) << status;
  }
  EXPECT_TRUE(to_status(QS_SUCCESS, "f").ok());
  EXPECT_TRUE(is_error(to_status(QS_NOSPC, "f"), Code::kResourceExhausted, "f: QS_NOSPC (7): "));
  EXPECT_TRUE(is_error(to_status(QS_TIMEDOUT, "f"), Code::kTimedOut));
  EXPECT_TRUE(is_error(to_status(static_cast<QStatus>(77), "f"), Code::kDeviceError, "77"));
}

}  // namespace
}  // namespace qaickit::qaic
