// One side of a round trip: "ping" sends a message of N bytes and measures until the answer of 8 bytes is in its callback,
// "pong" answers. Both do what an ordinary node does: rclcpp::spin, default executor, default node, callbacks.
//
// What is touched of a message: its counter, written by the sender and read by the receiver; and what the middleware
// itself touches. The message is made once and published again and again, or is a loan where the middleware offers one.
//
// round_trip ping|pong TYPE SIZE ROUNDS WARM_UP DEPTH; TYPE is bytes or fixed. Prints one line of JSON.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "rclcpp/rclcpp.hpp"

#include "rmw_hazcat_bench/msg/bytes.hpp"
#include "rmw_hazcat_bench/msg/fixed1k.hpp"
#include "rmw_hazcat_bench/msg/fixed1m.hpp"
#include "rmw_hazcat_bench/msg/fixed64b.hpp"
#include "rmw_hazcat_bench/msg/fixed64k.hpp"
#include "rmw_hazcat_bench/msg/fixed8m.hpp"
#include "rmw_hazcat_bench/msg/reply.hpp"

namespace
{
using rmw_hazcat_bench::msg::Bytes;
using rmw_hazcat_bench::msg::Reply;
using Clock = std::chrono::steady_clock;

struct Settings
{
  std::string role;
  std::string type;
  size_t size;
  size_t rounds;
  size_t warm_up;
  size_t depth;
};

template<typename Message>
void resize(Message &, size_t) {}

void resize(Bytes & message, size_t size)
{
  message.data.resize(size);
}

template<typename Message>
class Ping : public rclcpp::Node
{
public:
  explicit Ping(const Settings & settings)
  : Node("ping"), settings_(settings), message_(std::make_unique<Message>())
  {
    resize(*message_, settings.size);
    times_.reserve(settings.rounds);
    const rclcpp::QoS qos(settings.depth);
    publisher_ = create_publisher<Message>("bench/request", qos);
    // Asked now: after the shutdown that ends the measurement the answer is always no.
    loaned_ = publisher_->can_loan_messages();
    subscription_ = create_subscription<Reply>(
      "bench/reply", qos, [this](const Reply & reply) {on_reply(reply);});
    // Until the first answer: nobody knows when both sides have found each other.
    start_ = create_wall_timer(std::chrono::milliseconds(100), [this]() {send();});
  }

  void report() const
  {
    std::vector<double> times = times_;
    if (times.empty()) {
      throw std::runtime_error("no round was measured");
    }
    std::sort(times.begin(), times.end());
    std::printf(
      "{\"rounds\": %zu, \"median_us\": %.3f, \"p99_us\": %.3f, \"min_us\": %.3f, \"loaned\": %s}\n",
      times.size(), times[times.size() / 2], times[times.size() * 99 / 100], times.front(),
      loaned_ ? "true" : "false");
  }

private:
  void send()
  {
    sent_at_ = Clock::now();
    if (loaned_) {
      auto loan = publisher_->borrow_loaned_message();
      loan.get().counter = counter_;
      publisher_->publish(std::move(loan));
    } else {
      message_->counter = counter_;
      publisher_->publish(*message_);
    }
  }

  void on_reply(const Reply & reply)
  {
    const auto now = Clock::now();
    if (reply.counter != counter_) {
      return;  // an answer to one of several messages with which we looked for the other side
    }
    if (start_) {
      start_->cancel();
      start_.reset();
    }
    if (counter_ > settings_.warm_up) {
      times_.push_back(std::chrono::duration<double, std::micro>(now - sent_at_).count());
    }
    if (times_.size() == settings_.rounds) {
      rclcpp::shutdown();
      return;
    }
    ++counter_;
    send();
  }

  Settings settings_;
  std::unique_ptr<Message> message_;
  std::vector<double> times_;
  uint64_t counter_ = 1;
  bool loaned_ = false;
  Clock::time_point sent_at_;
  typename rclcpp::Publisher<Message>::SharedPtr publisher_;
  rclcpp::Subscription<Reply>::SharedPtr subscription_;
  rclcpp::TimerBase::SharedPtr start_;
};

template<typename Message>
class Pong : public rclcpp::Node
{
public:
  explicit Pong(const Settings & settings)
  : Node("pong")
  {
    const rclcpp::QoS qos(settings.depth);
    publisher_ = create_publisher<Reply>("bench/reply", qos);
    subscription_ = create_subscription<Message>(
      "bench/request", qos, [this, size = settings.size](const Message & message) {
        if (!is_whole(message, size)) {
          throw std::runtime_error("a message of the wrong size");
        }
        Reply reply;
        reply.counter = message.counter;
        publisher_->publish(reply);
      });
  }

  void report() const {}

private:
  template<typename Any>
  static bool is_whole(const Any &, size_t) {return true;}
  static bool is_whole(const Bytes & message, size_t size) {return message.data.size() == size;}

  rclcpp::Publisher<Reply>::SharedPtr publisher_;
  typename rclcpp::Subscription<Message>::SharedPtr subscription_;
};

template<typename Node>
void run(const Settings & settings)
{
  auto node = std::make_shared<Node>(settings);
  rclcpp::spin(node);
  node->report();
}

template<typename Message>
void run_role(const Settings & settings)
{
  if (settings.role == "ping") {
    run<Ping<Message>>(settings);
  } else if (settings.role == "pong") {
    run<Pong<Message>>(settings);
  } else {
    throw std::invalid_argument("the role is ping or pong");
  }
}

void run_type(const Settings & settings)
{
  using namespace rmw_hazcat_bench::msg;
  if (settings.type == "bytes") {
    return run_role<Bytes>(settings);
  }
  if (settings.type == "fixed") {
    switch (settings.size) {
      case sizeof(Fixed64b): return run_role<Fixed64b>(settings);
      case sizeof(Fixed1k): return run_role<Fixed1k>(settings);
      case sizeof(Fixed64k): return run_role<Fixed64k>(settings);
      case sizeof(Fixed1m): return run_role<Fixed1m>(settings);
      case sizeof(Fixed8m): return run_role<Fixed8m>(settings);
      default: throw std::invalid_argument("there is no fixed message of that size");
    }
  }
  throw std::invalid_argument("the type is bytes or fixed");
}
}  // namespace

int main(int count, char ** arguments)
{
  try {
    const auto left = rclcpp::init_and_remove_ros_arguments(count, arguments);
    if (left.size() != 7) {
      throw std::invalid_argument("round_trip ping|pong bytes|fixed SIZE ROUNDS WARM_UP DEPTH");
    }
    run_type(
      {left[1], left[2], std::stoul(left[3]), std::stoul(left[4]), std::stoul(left[5]), std::stoul(left[6])});
    rclcpp::shutdown();
  } catch (const std::exception & error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
