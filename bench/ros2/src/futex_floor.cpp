// The floor of a blocking round trip: two processes that do nothing but wake each other with a futex. Prints JSON.

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace
{
struct Words
{
  alignas(128) std::atomic<uint32_t> ping{0};
  alignas(128) std::atomic<uint32_t> pong{0};
};

void wake(std::atomic<uint32_t> & word, uint32_t value)
{
  word.store(value, std::memory_order_release);
  syscall(SYS_futex, &word, FUTEX_WAKE, 1);
}

void wait_for(std::atomic<uint32_t> & word, uint32_t value)
{
  const timespec limit{1, 0};
  for (uint32_t seen = word.load(std::memory_order_acquire); seen != value;
    seen = word.load(std::memory_order_acquire))
  {
    syscall(SYS_futex, &word, FUTEX_WAIT, seen, &limit);
  }
}
}  // namespace

int main(int count, char ** arguments)
{
  const uint32_t rounds = count > 1 ? static_cast<uint32_t>(std::atoi(arguments[1])) : 2000;
  const int protection = PROT_READ | PROT_WRITE;
  void * memory = mmap(nullptr, sizeof(Words), protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || rounds == 0) {
    return 1;
  }
  auto * words = new (memory) Words;
  const pid_t child = fork();
  if (child < 0) {
    return 1;
  }
  if (child == 0) {
    for (uint32_t round = 1; round <= rounds; ++round) {
      wait_for(words->ping, round);
      wake(words->pong, round);
    }
    _exit(0);
  }
  std::vector<double> times;
  for (uint32_t round = 1; round <= rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    wake(words->ping, round);
    wait_for(words->pong, round);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  waitpid(child, nullptr, 0);
  std::sort(times.begin(), times.end());
  std::printf(
    "{\"rounds\": %zu, \"median_us\": %.3f, \"p99_us\": %.3f}\n",
    times.size(), times[times.size() / 2], times[times.size() * 99 / 100]);
  return 0;
}
