#include "batch/batch_former.h"

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

namespace qaickit {
namespace {

struct Arrival {
  uint32_t count;
  uint64_t at_ns;
};

struct Case {
  const char* name;
  uint32_t max_batch;
  uint64_t max_delay_ns;
  std::vector<Arrival> arrivals;
  uint64_t now_ns;
  bool flush;
  bool ready;
  uint64_t remaining_ns;  // 0 when empty
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class BatchFormerCase : public ::testing::TestWithParam<Case> {};

TEST_P(BatchFormerCase, Decides) {
  const Case& c = GetParam();
  BatchFormer former(c.max_batch, c.max_delay_ns);
  uint32_t size = 0;
  for (const Arrival& arrival : c.arrivals) {
    former.add(arrival.count, arrival.at_ns);
    size += arrival.count;
  }
  EXPECT_EQ(former.size(), size);
  EXPECT_EQ(former.room(), c.max_batch - size);
  EXPECT_EQ(former.ready(c.now_ns, c.flush), c.ready);
  if (size > 0) {
    EXPECT_EQ(former.remaining_ns(c.now_ns), c.remaining_ns);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BatchFormerCase,
    ::testing::Values(
        Case{"empty", 4, 100, {}, 1'000, false, false, 0},
        Case{"empty_flushed", 4, 100, {}, 1'000, true, false, 0},
        Case{"one_of_one", 1, 100, {{1, 1'000}}, 1'000, false, true, 100},
        Case{"full_at_once", 4, 100, {{4, 1'000}}, 1'000, false, true, 100},
        Case{"full_in_parts", 4, 100, {{1, 1'000}, {2, 1'050}, {1, 1'060}}, 1'060, false, true, 40},
        Case{"part_waits", 4, 100, {{1, 1'000}}, 1'099, false, false, 1},
        Case{"part_at_deadline", 4, 100, {{1, 1'000}}, 1'100, false, true, 0},
        Case{"part_after_deadline", 4, 100, {{1, 1'000}}, 9'000, false, true, 0},
        Case{"deadline_is_the_firsts", 4, 100, {{1, 1'000}, {1, 1'090}}, 1'095, false, false, 5},
        Case{"later_ones_do_not_extend", 4, 100, {{1, 1'000}, {2, 1'099}}, 1'100, false, true, 0},
        Case{"no_delay", 4, 0, {{1, 1'000}}, 1'000, false, true, 0},
        Case{"flush_ends_the_wait", 4, 100, {{1, 1'000}}, 1'001, true, true, 99},
        Case{"clock_behind_the_arrival", 4, 100, {{1, 1'000}}, 900, false, false, 100},
        Case{"for_ever",
             2,
             UINT64_MAX,
             {{1, 1'000}},
             1ull << 62,
             false,
             false,
             UINT64_MAX - (1ull << 62) + 1'000},
        Case{"first_at_time_zero", 4, 100, {{1, 0}, {1, 50}}, 100, false, true, 0}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace qaickit
